from types import ModuleType

import pytest
from training import micro

from finetune.config.schema import TaskConfig
from finetune.errors import DataError
from finetune.images import decode
from finetune.predictors import majority
from finetune.tasks import Judge


def judged(*labels):
    return Judge(TaskConfig(), labels)


def test_answers_the_commonest_training_label(tmp_path):
    micro.picture(0).save(tmp_path / "007_0.png")
    train = [micro.example(i, target) for i, target in enumerate(["good", "good", "bad", "good"])]
    [found] = majority.commonest(train, [micro.example(7, "bad")], tmp_path, judged("bad", "good", "odd"))
    assert (found.text, found.answer, found.outcome, found.gold) == ("good", "good", "wrong", "bad")
    assert found.probabilities == {"bad": 0.25, "good": 0.75, "odd": 0.0}
    assert found.image_sha256 == decode.digest([micro.picture(0)])
    assert (found.question, found.group, found.model) == ("Is there a defect?", "g7", "majority")


def test_the_first_label_wins_a_tie(tmp_path):
    micro.picture(0).save(tmp_path / "000_0.png")
    train = [micro.example(1, "b"), micro.example(2, "a")]
    found = majority.commonest(train, [micro.example(0, "a")], tmp_path, judged("b", "a"))
    assert [p.answer for p in found] == ["b"]


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(DataError, match=r"003_0\.png"):
        list(majority.commonest([micro.example(1)], [micro.example(3)], tmp_path, judged("no")))


@pytest.fixture
def other(monkeypatch):
    """A task whose questions have closed answers of their own, or none."""
    task = ModuleType("other")
    task.PARSER, task.judge = "other/7", lambda config: lambda text, answer, gold: "unparsed"
    task.choices = task.vocabulary = lambda config, labels, example: ("yes", "no") if "?" in example.question else ()
    task.parse = lambda text, labels, synonyms: f"read {text}"
    monkeypatch.setattr("finetune.plugins.load", lambda *key: {("task", "other"): task}[key])
    return Judge(TaskConfig(kind="other"), ())


def test_every_kind_of_question_has_its_own_commonest_answer(tmp_path, other):
    micro.picture(0).save(tmp_path / "000_0.png")
    train = [micro.example(1, "no"), micro.example(2, "red", "Colour"), micro.example(3, "red", "Colour")]
    asked = [micro.example(0, "no"), micro.example(0, "blue", "Colour")]
    closed, open_ = majority.commonest(train, asked, tmp_path, other)
    assert (closed.answer, closed.probabilities) == ("no", {"yes": 0.0, "no": 1.0})
    assert (open_.text, open_.answer, open_.probabilities) == ("red", "read red", None)
    assert (closed.parser, closed.outcome) == ("other/7", "unparsed")


def test_a_question_that_training_never_asked(tmp_path, other):
    micro.picture(0).save(tmp_path / "000_0.png")
    train = [micro.example(2, "red", "Colour")]
    [found] = majority.commonest(train, [micro.example(0, "no")], tmp_path, other)
    assert (found.answer, found.probabilities) == ("yes", None)
