"""The commands: `baseline.dry_run`, `record`, and a run that replays what was recorded, end to end."""

import json
import re

import built_run
import numpy as np
import pytest
import yaml
from baseline import made, server, small_run
from PIL import Image

from finetune.baseline import pack
from finetune.cli.main import main
from finetune.pipeline import evaluate
from finetune.rundir import RunDir, read_json, read_jsonl


@pytest.fixture
def command(tmp_path, monkeypatch):
    """`record` on a folder of forty small pictures; everything but the policy."""
    monkeypatch.setenv("RIVAL_API_KEY", small_run.KEY)
    for number in range(40):
        file = tmp_path / "images" / small_run.LABELS[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(file)

    def words(url, *more):
        return [
            *("record", f"data.path={tmp_path / 'images'}", f"run.dir={tmp_path / 'run'}", "data.split.test=0.5"),
            *("network=allow", "baseline=openai_compatible", "baseline.name=rival", "baseline.model=gpt-4o"),
            *(f"baseline.base_url={url}/v1", "baseline.api_key_env=RIVAL_API_KEY", "baseline.rate_per_min=60000"),
            *(f"baseline.policy={tmp_path / 'policy.yaml'}", "baseline.retries=0", *more),
        ]

    return words


def permit(tmp_path, url, tag, **changes):
    given = {"endpoint": f"{url}/v1", "dataset": tag, "fields": ["image", "question"], "max_images": 50}
    given |= {"max_cost": "unmetered", "expires": "2999-12-31", "approver": "A. Tester"} | changes
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")


def test_a_dry_run_says_what_would_leave_and_record_writes_a_pack(command, provider, tmp_path, capsys, monkeypatch):
    provider.script = [server.says("ALPHA"), server.fails(401)]
    assert main(command(provider.url, "baseline.dry_run=true")) == 0
    told = capsys.readouterr().out
    assert provider.arrived == []
    count = int(re.search(r"requests: (\d+)", told)[1])
    assert f"different pictures: {count}" in told
    assert int(re.search(r"bytes: (\d+)", told)[1]) > 200 * count
    assert "price: unknown" in told
    assert "[image/png, 8 x 8 px, " in told
    assert main(command(provider.url)) == 6
    assert "cannot be read" in capsys.readouterr().err
    permit(tmp_path, provider.url, re.search(r"sha256:[0-9a-f]{64}", told)[0])

    assert main(command(provider.url)) == 2  # the key is refused midway
    assert "refuses the key" in capsys.readouterr().err
    provider.usual = server.says("ALPHA")
    assert main(command(provider.url)) == 0
    assert len(provider.arrived) == count + 1
    folder = tmp_path / "run" / "packs" / "rival"
    assert capsys.readouterr().out.strip() == str(folder)
    about = read_json(folder / pack.ABOUT)
    assert set(pack.ABOUT_KEYS) <= set(about)
    assert (about["recorded_by"], about["model_returned"], about["n"]) == ("A. Tester", "gpt-4o", count)
    rows = list(read_jsonl(folder / pack.ROWS))
    assert {row["text"] for row in rows} == {"ALPHA"}

    monkeypatch.setenv(pack.SITE_KEY, str(tmp_path / "key"))
    (tmp_path / "key").write_text("k" * 40, encoding="utf-8")
    assert main(command(provider.url, "--shareable", f"baseline.path={tmp_path / 'shared'}")) == 0
    assert len(provider.arrived) == count + 1  # nothing is asked twice
    shared = "".join(file.read_text(encoding="utf-8") for file in (tmp_path / "shared").iterdir())
    assert not [row for row in rows if row["id"] in shared or row["question"] in shared]
    everything = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert small_run.KEY.encode() not in b"".join(everything)


def test_record_says_what_it_needs(command, provider, capsys):
    assert main(["record", "recipe=defects"]) == 2
    assert "choose baseline=openai_compatible or baseline=any_llm" in capsys.readouterr().err
    assert main([word for word in command(provider.url) if not word.startswith("data.path")]) == 2
    assert "record needs data to ask about" in capsys.readouterr().err


def test_a_run_that_would_ask_is_refused_before_anything_is_written(command, provider, tmp_path, capsys):
    assert main([word for word in command(provider.url)[1:] if not word.startswith("baseline.policy")]) == 6
    assert "needs a policy file" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main([*command(provider.url)[1:], "baseline.dry_run=true"]) == 0
    assert "Nothing was sent." in capsys.readouterr().out
    assert provider.arrived == []


def test_baselines_are_listed(capsys):
    assert main(["show", "baselines"]) == 0
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines()] == ["any_llm", "none", "openai_compatible", "recorded"]


def test_a_run_compares_the_tuned_model_with_a_recorded_baseline(built, tmp_path):
    """The pack is made up by this test, and says so."""
    folder = tmp_path / "pack"
    options = ("baseline=recorded", "baseline.name=gpt", f"baseline.path={folder}", "evaluate.models=[tuned,gpt]")
    config, run = built_run.load(built, *options), RunDir(built)
    made.write(folder, config, run)
    evaluate.run(config, run)
    found = read_json(run.comparison)
    assert {"metric", "difference", "low", "high", "b", "c", "p"} <= set(found["pairs"]["tuned-gpt"])
    counts = found["outcomes"]["gpt"]
    assert counts["unparsed"] == -(-found["n"] // 5)
    assert counts["correct"] == found["n"] - counts["unparsed"]
    assert json.loads((run.eval / "gpt.baseline.json").read_text(encoding="utf-8"))["synthetic"] is True
