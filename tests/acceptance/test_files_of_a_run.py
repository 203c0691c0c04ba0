"""The files of a whole run against the contract: keys, counts and hashes recomputed without the program's own code."""

import hashlib
import json
import math
import stat
from collections import Counter

import pytest
from acceptance import sources

SCORE = {"value", "low", "high"}
PREDICTION = "id image_sha256 question gold text answer outcome probabilities seconds model parser group"
KEYS = {
    "data/manifest.jsonl": "id path sha256 bytes group split label meta",
    "data/train.jsonl": "id images messages target rejected boxes group meta",
    "data/val.jsonl": "id images messages target rejected boxes group meta",
    "data/test.jsonl": "id images messages target rejected boxes group meta",
    "data/quarantine.jsonl": "row path reason",
    "train/log.jsonl": "step epoch loss learning_rate grad_norm samples_per_s peak_memory_mib",
    "eval/base.predictions.jsonl": PREDICTION,
    "eval/tuned.predictions.jsonl": PREDICTION,
    "eval/majority.predictions.jsonl": PREDICTION,
    "eval/base.generated.predictions.jsonl": PREDICTION,
    "eval/tuned.generated.predictions.jsonl": PREDICTION,
    "audit.jsonl": "seq path sha256 previous time",
    "run.json": "schema status recipe overrides versions seed stages resumed_from_step host git error",
    "data/summary.json": "read kept quarantined by_split by_label leaks",
    "eval/comparison.json": "schema n groups models outcomes pairs decision",
    "export/parity.json": "max_abs_logit_difference answers_equal n",
}


@pytest.mark.parametrize("name", KEYS)
def test_every_line_has_the_keys_of_the_contract(made, name):
    path = made[0] / name
    found = sources.lines(path) if name.endswith(".jsonl") else [sources.document(path)]
    assert found
    for row in found:
        assert set(KEYS[name].split()) <= set(row)


def test_json_is_utf8_without_nan(made):
    files = [path for path in made[0].rglob("*.json*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        for line in path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
            json.loads(line, parse_constant=lambda name, path=path: pytest.fail(f"{path}: {name}"))


def test_run_json_says_what_was_done(made):
    status = sources.document(made[0] / "run.json")
    assert (status["status"], status["error"], status["resumed_from_step"]) == ("done", None, None)
    assert status["overrides"] == made[1]
    assert list(status["stages"]) == ["prepare", "train", "evaluate", "report", "export"]
    assert all(stage["status"] == "done" and stage["seconds"] >= 0 for stage in status["stages"].values())
    assert {"finetune", "torch", "transformers", "peft"} <= set(status["versions"])


def test_the_data_are_those_of_the_table(made):
    run = made[0]
    summary = sources.document(run / "data" / "summary.json")
    # 30 parts of 2 views: parts with number % 5 in (3, 4) are the test, 2 is val; one row has no image.
    assert (summary["read"], summary["kept"], summary["quarantined"]) == (61, 60, 1)
    assert summary["by_split"] == {"train": 24, "val": 12, "test": 24}
    assert summary["by_label"] == {"bright": 30, "dark": 30}
    manifest = sources.lines(run / "data" / "manifest.jsonl")
    assert [row["id"] for row in manifest] == [f"u{part}-{view}" for part in range(30) for view in range(2)]
    for row in manifest:
        content = (run.parent / str(row["path"])).read_bytes()
        assert (row["sha256"], row["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
        part = int(str(row["id"])[1:].split("-")[0])
        assert row["split"] == ("train", "train", "val", "test", "test")[part % 5]
        assert (row["group"], row["label"]) == (f"p{part:02d}", ("bright", "dark")[part % 2])
        assert row["meta"] == {"part": row["group"]}
    (test, *_) = sources.lines(run / "data" / "test.jsonl")
    assert test["messages"] == [{"role": "user", "text": "Which is it, bright, dark?"}]
    assert test["images"] == [{"path": "images/p03_0.png", "member": None, "frame": None, "window": None}]


def test_the_log_has_one_line_a_step(made):
    found = sources.lines(made[0] / "train" / "log.jsonl")
    assert [row["step"] for row in found] == [1, 2, 3]  # 24 examples in batches of 8
    assert all(math.isfinite(float(row["loss"])) and float(row["samples_per_s"]) > 0 for row in found)
    assert len(sources.lines(made[0] / "train" / "validation.jsonl")) == 1
    adapter = sources.document(made[0] / "train" / "adapter" / "finetune.json")
    assert {"family", "base_sha256", "processor_sha256"} <= set(adapter)
    components = sources.document(made[0] / "train" / "trainable.json")
    assert {"vision_tower", "projector", "language_model"} <= set(components)
    for row in components.values():
        assert {"modules", "parameters", "trained", "quantised"} <= set(row)


def predictions(run, who):
    return sources.lines(run / "eval" / f"{who}.predictions.jsonl")


def test_predictions_answer_the_test_split_in_order(made):
    run = made[0]
    test = sources.lines(run / "data" / "test.jsonl")
    for who in ("majority", "base", "tuned", "base.generated", "tuned.generated"):
        rows = predictions(run, who)
        assert [(row["id"], row["gold"], row["group"]) for row in rows] == [
            (row["id"], row["target"], row["group"]) for row in test
        ]
        assert {row["image_sha256"] for row in rows} == {row["image_sha256"] for row in predictions(run, "majority")}
        for row in rows:
            assert row["outcome"] in ("correct", "wrong", "unparsed", "truncated", "refused", "error")
            assert row["outcome"] != "correct" or row["answer"] == row["gold"]
            if who.endswith("generated"):
                assert row["probabilities"] is None
                continue
            assert sum(row["probabilities"].values()) == pytest.approx(1)
            assert row["answer"] == max(row["probabilities"], key=row["probabilities"].get)


def test_the_comparison_is_what_the_predictions_say(made):
    run = made[0]
    found = sources.document(run / "eval" / "comparison.json")
    assert (found["n"], found["groups"]) == (24, 12)
    right = {who: [row["outcome"] == "correct" for row in predictions(run, who)] for who in ("base", "tuned")}
    for who in ("majority", "base", "tuned"):
        rows = predictions(run, who)
        share = sum(row["outcome"] == "correct" for row in rows) / 24
        assert found["models"][who]["accuracy"]["value"] == pytest.approx(share)
        counts = {name: count for name, count in found["outcomes"][who].items() if count}
        assert counts == Counter(row["outcome"] for row in rows)
        dark = [row["outcome"] == "correct" for row in rows if row["gold"] == "dark"]
        assert found["models"][who]["sensitivity"]["value"] == pytest.approx(sum(dark) / len(dark))
        for score in found["models"][who].values():
            assert set(score) >= SCORE
            assert 0 <= score["low"] <= score["value"] + 1e-12
            assert score["value"] - 1e-12 <= score["high"] <= 1
    pair = found["pairs"]["tuned-base"]
    assert {"metric", "difference", "low", "high", "b", "c", "p", "p_noninferiority"} <= set(pair)
    both = list(zip(right["tuned"], right["base"], strict=True))
    assert (pair["b"], pair["c"]) == (both.count((True, False)), both.count((False, True)))
    assert pair["difference"] == pytest.approx((sum(right["tuned"]) - sum(right["base"])) / 24)
    assert {"rule_sha256", "verdict", "reason", "looks"} <= set(found["decision"])
    assert found["decision"]["looks"] == 1


def test_the_export_answers_like_the_adapter(made):
    parity = sources.document(made[0] / "export" / "parity.json")
    assert parity["n"] == parity["answers_equal"] == 24
    assert 0 <= parity["max_abs_logit_difference"] < 1e-2
    for name in ("adapter/adapter_model.safetensors", "merged/model.safetensors", "README.md"):
        assert (made[0] / "export" / name).stat().st_size > 0


def test_the_audit_chain_by_hand(made):
    run, previous = made[0], "0" * 64
    entries = sources.lines(run / "audit.jsonl")
    for number, entry in enumerate(entries):
        assert (entry["seq"], entry["previous"]) == (number, previous)
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        previous = hashlib.sha256(text.encode()).hexdigest()
    latest = {str(entry["path"]): entry["sha256"] for entry in entries}
    status = json.dumps(sources.document(run / "run.json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert latest.pop("run.json") == hashlib.sha256(status.encode()).hexdigest()
    for name, sha in latest.items():
        assert hashlib.sha256((run / name).read_bytes()).hexdigest() == sha, name
    expected = {name for name in KEYS if name not in ("audit.jsonl", "run.json")} | {"report/report.html"}
    assert expected <= set(latest)
    assert not [name for name in latest if "checkpoints" in name]


def test_files_are_readable_by_owner_and_group_alone(made):
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in made[0].rglob("*") if path.is_file()}
    assert {path.name: oct(mode) for path, mode in modes.items() if mode & 0o007} == {}


def test_standard_output_is_for_results(made):
    run, _, printed = made
    assert "24 test images in 12 groups; percent [95 % interval]" in printed
    assert "tuned - base" in printed
    assert printed.splitlines()[-1] == f"report: {run / 'report' / 'report.html'}"
    assert printed.count("report: ") == 1
    assert "\r" not in printed
