"""All stages on tiles of made-up boards, with a random model: the seams hold, `verify` agrees, `predict` joins."""

import json

import pytest
from adapters.sources import picture, save, write_csv
from training import micro

from finetune.cli import predict, verify
from finetune.config import compose
from finetune.pipeline import runner
from finetune.rundir import RunDir, read_json, read_jsonl


@pytest.mark.slow
def test_boxes_on_tiles_from_images_to_a_verified_report(tmp_path, capsys):
    rows = [["filename", "template", "board", "template_group", "boxes"]]
    for n in range(12):
        for kind in ("test", "temp"):
            save(tmp_path / "source" / "images" / f"{n}_{kind}.png", picture(n, (70, 40)))
        rows.append([f"{n}_test.png", f"{n}_temp.png", "b", f"t{n}", '[[10,20,30,40,"open"]]'])
    write_csv(tmp_path / "source" / "labels.csv", rows)
    micro.save(tmp_path / "base")
    config = compose.compose(
        [
            "recipe=pcb_boxes",
            "task.labels=[open]",
            f"data.path={tmp_path / 'source'}",
            "data.tiles={size:40,overlap:10,keep_empty:0.5}",
            f"model.path={tmp_path / 'base'}",
            f"run.root={tmp_path}",
            f"run.dir={tmp_path / 'run'}",
            "train.epochs=1",
            "train.precision=fp32",
            "method.targets.language_model=all",
            "hardware.device=cpu",
            "data.split.test=0.3",
        ]
    )
    run = RunDir(runner.execute(config, ["recipe=pcb_boxes"]))
    tested = list(read_jsonl(run.predictions("tuned")))
    found = read_json(run.comparison)
    assert len(tested) == 2 * found["n"] == found["estimand"]["images"] > 0
    assert {"f1_iou50", "count_error"} <= set(found["models"]["tuned"])
    assert run.report.joinpath("report.html").is_file()
    assert {what: finding for what, _, finding in verify.check(run)}[
        "values of the evaluation"
    ] == "as the predictions give"
    capsys.readouterr()
    predict.run([str(run.root), "--images", str(tmp_path / "source" / "images" / "0_test.png")])
    (told,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told["path"].endswith("0_test.png")
    assert set(told) == {"path", "text", "answer", "outcome", "probabilities", "seconds", "boxes"}
