import json
import re
import shutil

import built_run
import pytest
import torch

from finetune.cli import predict
from finetune.config import compose
from finetune.errors import ConfigError, DataError
from finetune.example import Example, ImageRef
from finetune.images import decode
from finetune.models import load as models
from finetune.models.encoding import IGNORED, Encoder
from finetune.rundir import RunDir
from finetune.tasks import classify


def rows(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def independently(built, file) -> list[float]:
    """Label probabilities by one teacher-forced pass a label: no shared prefix, no cache."""
    config, run = built_run.load(built), RunDir(built)
    base = models.load(config)
    tuned = models.attach(base, run.parts(0)[0].adapter)
    encoder, scores = Encoder(base.processor, base.family), []
    picture = decode.load(file.parent, ImageRef(file.name))
    for label in built_run.LABELS:
        example = Example("x", (ImageRef(file.name),), label, "x")
        messages = classify.messages(config.task, built_run.LABELS, example)
        batch = encoder.supervised([Example("x", example.images, label, "x", messages)], [[picture]])
        labels = batch.pop("labels")[0, 1:]
        with torch.no_grad():
            told = tuned(**batch).logits[0, :-1].log_softmax(-1)
        keep = labels != IGNORED
        scores.append(told[keep].gather(1, labels[keep].unsqueeze(1)).sum())
    return torch.stack(scores).softmax(0).tolist()


def test_every_image_of_a_folder_is_answered_by_the_tuned_model(built, capsys):
    folder = built.parent / "images" / "scratch"
    predict.run([str(built), "--images", str(folder)])
    found = rows(capsys)
    assert [row["path"] for row in found] == [str(path) for path in sorted(folder.iterdir())]
    assert {tuple(row) for row in found} == {("path", "text", "answer", "outcome", "probabilities", "seconds")}
    for row in found:
        assert row["answer"] == row["text"] == max(row["probabilities"], key=row["probabilities"].__getitem__)
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert row["outcome"] is None
        assert row["seconds"] > 0
    expected = independently(built, folder / "01.png")
    assert [found[0]["probabilities"][label] for label in built_run.LABELS] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("threshold", "said"), [(1e-9, "scratch"), (1 - 1e-9, "no defect")])
def test_the_threshold_of_the_run_decides(built, capsys, threshold, said):
    """At the point where it was judged: scratch as soon as it is as likely as that, else the likeliest other."""
    config = built_run.load(built, "evaluate.positive=scratch", f"evaluate.threshold={threshold:.12f}")
    RunDir(built).write_text(built / "config.yaml", compose.to_yaml(config))
    predict.run([str(built), "--images", str(built.parent / "images" / "scratch" / "01.png")])
    (row,) = rows(capsys)
    assert (row["answer"], row["outcome"]) == (said, None)


def test_one_file_is_shown_as_it_was_given(built, capsys, monkeypatch):
    monkeypatch.chdir(built.parent)
    predict.run(["run", "--images", "images/../images/scratch/01.png"])
    (row,) = rows(capsys)
    assert row["path"] == "images/../images/scratch/01.png"


def test_another_question_is_answered_in_words(built, capsys):
    file = built.parent / "images/scratch/01.png"
    predict.run([str(built), "--images", str(file), "--question", "Is there a defect?"])
    (row,) = rows(capsys)
    assert row["probabilities"] is None
    assert row["outcome"] in (None, "unparsed", "truncated")
    assert (row["answer"] is None) == (row["outcome"] is not None)


def test_broken_images_are_named_and_the_others_answered(built, capsys):
    folder = built.parent / "images" / "scratch"
    whole = (folder / "01.png").read_bytes()
    (folder / "03.png").write_bytes(whole[: len(whole) // 2])
    (folder / "05.png").write_bytes(b"")
    (folder / "film.mp4").write_bytes(b"x")
    with pytest.raises(DataError, match=re.escape(f"3 of 16 files below {folder} could not be read")):
        predict.run([str(built), "--images", str(folder)])
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 13
    for name, reason in (("03.png", "cannot be decoded"), ("05.png", "is empty"), ("film.mp4", "is no image")):
        # A carriage return of the progress bar may stand before it.
        assert re.search(f"[\\r\\n]{re.escape(str(folder / name))}: .*{reason}", told.err), name


def test_an_empty_folder_and_a_missing_one(built, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no images \(\.avif, \.bmp, "):
        predict.run([str(built), "--images", str(tmp_path / "empty")])
    with pytest.raises(DataError, match="there is nothing of that name"):
        predict.run([str(built), "--images", str(tmp_path / "absent")])


def test_what_is_no_finished_run_is_refused(built, tmp_path):
    images = ["--images", str(built.parent / "images")]
    with pytest.raises(ConfigError, match=r"is not a run: it has no config\.yaml"):
        predict.run([str(tmp_path), *images])
    shutil.rmtree(built / "train")
    with pytest.raises(ConfigError, match="has no finished adapter"):
        predict.run([str(built), *images])


def test_folds_have_no_single_adapter(built):
    config = (built / "config.yaml").read_text(encoding="utf-8")
    (built / "config.yaml").write_text(config.replace("folds: 0", "folds: 5"), encoding="utf-8")
    with pytest.raises(ConfigError, match="trained 5 adapters, one a fold"):
        predict.run([str(built), "--images", str(built.parent / "images")])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["run"], "--images"),
        (["--images", "x"], "RUN"),
        (["run", "--images", "x", "--questoin", "y"], "unrecognized arguments: --questoin"),
        (["run", "--image", "x"], "--images"),
    ],
)
def test_wrong_arguments_are_a_users_error(arguments, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        predict.run(arguments)
    assert "usage: python -m finetune predict" in str(caught.value)


def test_settings_of_the_run_may_be_replaced(built, capsys):
    """As if it had been judged at that point: scratch as soon as it is likely at all."""
    file = built.parent / "images" / "scratch" / "01.png"
    more = ["evaluate.positive=scratch", "evaluate.threshold=0.000000001", "evaluate.batch_size=1"]
    predict.run([str(built), "--images", str(file), *more])
    assert rows(capsys)[0]["answer"] == "scratch"


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("task.question=What?", r"task\.question=What\?: it was trained with what its config\.yaml says"),
        ("model=smolvlm_256m", "model=smolvlm_256m: it was trained with"),
        ("evaluate.threshold=2", r"config\.yaml with evaluate\.threshold=2 is refused"),
        ("hardware.devise=cpu", "hardware.devise"),
    ],
)
def test_settings_that_cannot_be_replaced(built, override, problem):
    with pytest.raises(ConfigError, match=problem):
        predict.run([str(built), override, "--images", "x"])


def test_help_describes_the_output(capsys):
    with pytest.raises(SystemExit) as caught:
        predict.run(["--help"])
    assert caught.value.code == 0
    assert "`unparsed` or `truncated`" in capsys.readouterr().out
