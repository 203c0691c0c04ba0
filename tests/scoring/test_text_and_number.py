import pytest

from finetune.scoring import text
from finetune.scoring.numbers import Tolerance, metrics, read, right
from finetune.scoring.ratio import mean, ratio


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("The Right Lung.", "right lung"),
        ("  an  X-ray ", "x ray"),
        ("two", "2"),
        ("1.5 cm", "1.5 cm"),
        ("Crohn's disease", "crohns disease"),
        ("A", ""),
    ],
)
def test_normal_form(raw, normal):
    assert text.normalise(raw) == normal


def test_exact_match_and_f1_by_hand():
    assert text.exact_match("the liver", "Liver.")
    assert not text.exact_match("A", "the")  # both are nothing but articles
    assert not text.exact_match("liver", None)
    # gold 3 tokens, answer 2, 2 in common: 2 * 2 / 5.
    assert text.token_f1("right upper lobe", "upper right") == pytest.approx(4 / 5)
    assert text.token_f1("liver liver", "liver") == pytest.approx(2 / 3)
    assert text.token_f1("liver", None) == 0.0


def test_metrics_are_means_with_an_interval_around_them():
    found = text.metrics(["a liver", "right lung", "brain"], ["liver", "lung", None], ["1", "2", "3"])
    assert found["exact_match"].value == pytest.approx(1 / 3)
    assert found["token_f1"].value == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert found["token_f1"].low < found["token_f1"].value < found["token_f1"].high


@pytest.mark.parametrize(
    ("said", "unit", "value"),
    [
        ("3", "", 3.0),
        ("-2.5", "", -2.5),
        ("about 1,234.5 mm", "mm", 1234.5),
        ("1.2 cm", "mm", 12.0),
        ("12 millimetres", "mm", 12.0),
        ("1e-3", "", 0.001),
        ("5 cracks", "", 5.0),
        ("5 cracks", "mm", None),
        ("3 inches", "mm", 76.2),
        ("3 in.", "mm", 76.2),
        ('3"', "cm", 7.62),
        ("3 in total", "mm", None),
        ("3 mm in total", "mm", 3.0),
        ("5 mm/s", "mm", None),
        ("5 mm2", "mm", None),
        ("5 mm\u00b2", "mm", None),
        ("5-mm", "cm", 0.5),
        ("5 long", "mm", 5.0),
        ("12 kPa", "kPa", 12.0),
        ("12 Pa", "kPa", None),
        ("> 5", "", None),
        ("<=5 mm", "mm", None),
        ("at least 5 mm", "mm", None),
        ("more than about 5", "", None),
        ("not 5", "", None),
        ("missing: 5", "", 5.0),
        ("no more than 5", "", None),
        ("1e400", "", None),
        ("3-5", "", None),
        ("3 \u00b1 1", "", None),
        ("5 kg", "mm", None),
        ("40 %", "mm", None),
        ("3 or 4", "", None),
        ("3 and again 3", "", 3.0),
        ("1,5", "", None),
        ("three", "", None),
        ("", "", None),
        ("v2", "", None),
    ],
)
def test_the_one_number_of_a_text(said, unit, value):
    assert read(said, unit) == (pytest.approx(value) if value is not None else None)


def test_tolerance_is_the_wider_of_the_two():
    assert right("10 mm", "1.05 cm", Tolerance(absolute=0.5, unit="mm"))
    assert not right("10 mm", "10.6", Tolerance(absolute=0.5, unit="mm"))
    assert right("200", "209", Tolerance(relative=0.05))
    assert right("0.3", "0.4", Tolerance(absolute=0.1))  # 0.4 - 0.3 is 0.10000000000000003
    assert not right("3", None, Tolerance(absolute=9))
    assert not right("many", "3", Tolerance(absolute=9))
    assert metrics(["1", "2"], ["1.05", None], ["a", "b"], Tolerance(absolute=0.1))["within_tolerance"].value == 0.5


def test_a_ratio_of_sums_by_hand():
    found = ratio([2, 0, 1], [2, 1, 1], ["a", "b", "c"])
    assert found.value == pytest.approx(3 / 4)
    assert 0 <= found.low < 3 / 4 < found.high <= 1


def test_a_perfect_score_is_not_certain():
    found = mean([1.0] * 8, list("abcdefgh"))
    assert found.value == found.high == 1.0
    assert found.low == pytest.approx(0.6756, abs=1e-3)  # Wilson's lower bound of 8 of 8
    assert mean([1.0] * 8, ["one"] * 8).low < 0.3  # eight looks at one part are one part


def test_nothing_to_count_says_nothing():
    found = ratio([0], [0], ["a"], top=2.0)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 2.0)


def test_rouge_comes_from_the_library():
    golds, answers = ["the cat sat on the mat", "a dog"], ["the cat on the mat", None]
    found = text.long_text_metrics(golds, answers, ["a", "b"])
    # Longest common subsequence 5 of 6 and of 5 words: F1 10/11; the second finds nothing.
    assert found["rouge_l"].value == pytest.approx(10 / 11 / 2)


def test_without_the_library_there_is_no_rouge(monkeypatch):
    monkeypatch.setattr(text, "find_spec", lambda name: None)
    assert set(text.long_text_metrics(["a b"], ["a b"], ["g"])) == {"token_f1"}
