"""The contract of a family, last part: two ranks learn what one learns. One launch a form for all families."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from architectures import catalogue
from contract import rank_trainings
from safetensors.torch import load_file
from training import micro_run

from finetune.families import _base as families

ASKED = [name for name in catalogue.NAMES if "ranks" not in families.load(name).gaps]
HERE = Path(__file__).resolve()
RANKS = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]


def run(*arguments):
    paths = os.pathsep.join([str(HERE.parents[1]), str(HERE.parents[2])])
    environment = {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return [catalogue.save(root / name, name) for name in ASKED]


@pytest.fixture(scope="module")
def gradients(tmp_path_factory, folders):
    found = tmp_path_factory.mktemp("ranks") / "found.json"
    run(*RANKS, HERE.with_name("two_ranks.py"), found, *folders)
    return json.loads(found.read_text())


@pytest.fixture(scope="module")
def one(tmp_path_factory, folders):
    root = tmp_path_factory.mktemp("trainings")
    for name in ASKED:
        for form in ("one", "zero2", "zero3"):
            rank_trainings.prepare(root / name / form, name)
    run(HERE.with_name("rank_trainings.py"), root, "one", *folders)
    return root


@pytest.fixture(scope="module", params=["zero2", "zero3"])
def divided(request, one, folders):
    run(*RANKS, HERE.with_name("rank_trainings.py"), one, request.param, *folders)
    return request.param


@pytest.mark.families
@pytest.mark.timeout(660)
@pytest.mark.parametrize("name", ASKED)
def test_two_ranks_are_one(gradients, name):
    assert gradients[name]["largest"] > 1e-4
    assert gradients[name]["gap"] <= 1e-4 * max(1.0, gradients[name]["largest"])


@pytest.mark.families
@pytest.mark.timeout(660)
@pytest.mark.parametrize("name", ASKED)
def test_divided_by_deepspeed_they_train_what_one_trains(one, divided, name):
    """Real DeepSpeed, two steps; of the two ranks one has no image in a step, where the family allows it."""
    trainings = [one / name / form / "train" for form in ("one", divided)]
    alone, both = (micro_run.lines(place / "log.jsonl") for place in trainings)
    assert [row["step"] for row in both] == list(range(1, rank_trainings.STEPS + 1))
    assert [row["loss"] for row in both] == pytest.approx([row["loss"] for row in alone], abs=1e-5)
    wanted, found = (load_file(place / "adapter" / "adapter_model.safetensors") for place in trainings)
    assert found.keys() == wanted.keys()
    assert max(float((found[key] - value).abs().max()) for key, value in wanted.items()) < 1e-4
    assert any(float(value.abs().max()) > 1e-3 for key, value in wanted.items() if ".lora_B." in key)
