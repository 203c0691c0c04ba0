import numpy as np
import pytest

from finetune.training.validation import Verdict, verdict

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
