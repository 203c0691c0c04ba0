from types import ModuleType

import pytest
from training import micro

from finetune import pixels
from finetune.errors import DataError
from finetune.predictors import majority
from finetune.tasks import classify


def test_answers_the_commonest_training_label(tmp_path):
    micro.picture(0).save(tmp_path / "007_0.png")
    train = [micro.example(i, target) for i, target in enumerate(["good", "good", "bad", "good"])]
    [found] = majority.predict(train, [micro.example(7, "bad")], tmp_path, ("bad", "good", "odd"), classify)
    assert (found.text, found.answer, found.outcome, found.gold) == ("good", "good", "wrong", "bad")
    assert found.probabilities == {"bad": 0.25, "good": 0.75, "odd": 0.0}
    assert found.image_sha256 == pixels.digest([micro.picture(0)])
    assert (found.question, found.group, found.model) == ("Is there a defect?", "g7", "majority")


def test_the_first_label_wins_a_tie(tmp_path):
    micro.picture(0).save(tmp_path / "000_0.png")
    train = [micro.example(1, "b"), micro.example(2, "a")]
    assert [p.answer for p in majority.predict(train, [micro.example(0, "a")], tmp_path, ("b", "a"), classify)] == ["b"]


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(DataError, match=r"003_0\.png"):
        list(majority.predict([micro.example(1)], [micro.example(3)], tmp_path, ("no",), classify))


def test_the_task_judges_and_is_named(tmp_path):
    micro.picture(0).save(tmp_path / "000_0.png")
    task = ModuleType("other")
    task.PARSER, task.outcome = "other/7", lambda text, answer, gold: "unparsed"
    [found] = majority.predict([micro.example(1, "a")], [micro.example(0, "a")], tmp_path, ("a",), task)
    assert (found.parser, found.outcome) == ("other/7", "unparsed")
