from types import SimpleNamespace

import numpy as np
import pytest

from finetune.config.schema import Config, DecisionConfig, EvaluateConfig, TaskConfig, TrainConfig
from finetune.example import Example
from finetune.training.validation import FloorWatch, Validator, Verdict, verdict

SCORES = np.log([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
GOLD = ["no", "no", "no", "yes"]


def test_accuracy_and_log_probability_by_hand():
    found = verdict(SCORES, GOLD, ["no", "yes"], "accuracy")
    assert found.value == pytest.approx(2 / 4)  # right, right, wrong, wrong
    assert found.log_probability == pytest.approx(np.mean(np.log([0.9, 0.6, 0.2, 0.3])))


def test_balanced_accuracy_by_hand():
    assert verdict(SCORES, GOLD, ["no", "yes"], "balanced_accuracy").value == pytest.approx((2 / 3 + 0 / 1) / 2)


def test_the_probability_settles_ties():
    assert Verdict(0.5, -0.1) > Verdict(0.5, -0.2)
    assert Verdict(0.6, -9.0) > Verdict(0.5, -0.1)


def judged(kind, golds, labels, scores, meta=None, **options):
    """What a validator says of a model that scores like this; -inf fills up rows with fewer texts."""
    task = TaskConfig(kind=kind, labels=labels, options=options)
    config = Config(task=task, evaluate=EvaluateConfig(decision=DecisionConfig(metric="accuracy")))
    examples = [Example(str(i), (), gold, str(i), meta=meta or {}) for i, gold in enumerate(golds)]
    validator = Validator(config, None, None, examples, labels)
    validator._scores = lambda model: scores
    modes = []
    model = SimpleNamespace(training=True, eval=lambda: modes.append("eval"), train=lambda on: modes.append(on))
    found = validator(model)
    assert modes == ["eval", True]  # the mode that it was in comes back
    return found


def test_open_questions_settle_ties_and_closed_ones_are_counted():
    scores = [[-1.0, -2.0], [-3.0, -1.0], [-5.0, -np.inf]]
    found = judged("answer", ["yes", "yes", "right lung"], ("yes", "no"), scores)
    assert found.value == pytest.approx(1 / 2)
    likely = [-np.log(1 + np.exp(-1)), -2 - np.log(1 + np.exp(-2)), -5.0]
    assert found.log_probability == pytest.approx(np.mean(likely))


def test_without_a_closed_question_the_likelihood_of_the_text_decides():
    better = judged("describe", ["a", "b"], (), [[-1.0], [-2.0]])
    worse = judged("describe", ["a", "b"], (), [[-1.0], [-3.0]])
    assert (better.value, better.log_probability) == (0.0, pytest.approx(-1.5))
    assert better > worse


def test_choices_of_a_question_of_its_own_count_as_right_or_wrong():
    scores = [[-1.0, -2.0], [-1.0, -2.0]]
    found = judged("answer", ["left", "right"], (), scores, meta={"offered": "left|right"}, choices="offered")
    assert found.value == pytest.approx(1 / 2)


@pytest.mark.parametrize(("metric", "floor"), [("accuracy", 0.75), ("balanced_accuracy", 0.5), ("sensitivity", 0.5)])
def test_the_floor_is_what_the_commonest_answer_reaches(metric, floor):
    config = Config(evaluate=EvaluateConfig(decision=DecisionConfig(metric=metric)))
    examples = [Example(str(i), (), gold, str(i)) for i, gold in enumerate(GOLD)]
    validator = Validator(config, None, None, examples, ("no", "yes", "never seen"))
    assert validator.floor == floor
    same = np.log([[0.8, 0.1, 0.1]] * 4)  # one answer to all reaches it and no more
    assert verdict(same, GOLD, ["no", "yes", "never seen"], metric).value == floor
    assert Validator(config, None, None, examples, ()).floor is None


def test_a_training_at_the_floor_says_so_once_and_what_to_change():
    watch = FloorWatch(0.5, Config())
    assert watch.warning(0.5) is None
    told = watch.warning(0.5)
    assert "2 validations in a row are no better than always giving the commonest answer (0.500)" in told
    assert "method.targets.vision_tower=all" in told
    assert "train.balance=true" in told
    assert watch.warning(0.4) is None
    assert watch.warning(0.6) is None
    assert [watch.warning(0.5), watch.warning(0.5) is None] == [None, False]


def test_a_training_above_the_floor_or_without_one_says_nothing():
    watch = FloorWatch(0.5, Config())
    assert [watch.warning(value) for value in (0.5, 0.51, 0.5, 0.52)] == [None] * 4
    assert [FloorWatch(None, Config()).warning(0.0) for _ in range(4)] == [None] * 4
    balanced = Config(train=TrainConfig(balance=True))
    watch = FloorWatch(0.5, balanced)
    assert "train.balance" not in [watch.warning(0.5), watch.warning(0.5)][1]
