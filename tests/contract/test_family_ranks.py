"""The contract of a family, last part: two ranks learn what one learns. One launch for all families."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from architectures import catalogue

from finetune import family as families

ASKED = [name for name in catalogue.NAMES if "ranks" not in families.load(name).gaps]


@pytest.fixture(scope="module")
def gradients(tmp_path_factory):
    root = tmp_path_factory.mktemp("ranks")
    folders = [str(catalogue.save(root / name, name)) for name in ASKED]
    here = Path(__file__).resolve()
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*launch, str(here.with_name("two_ranks.py")), str(root / "found.json"), *folders],
        env=os.environ | {"PYTHONPATH": f"{here.parents[1]}:{here.parents[2]}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((root / "found.json").read_text())


@pytest.mark.families
@pytest.mark.timeout(660)
@pytest.mark.parametrize("name", ASKED)
def test_two_ranks_are_one(gradients, name):
    assert gradients[name]["largest"] > 1e-4
    assert gradients[name]["gap"] <= 1e-4 * max(1.0, gradients[name]["largest"])
