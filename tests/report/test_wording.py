"""What is said of a comparison, and how strongly."""

import pytest

from finetune.report import charts, gallery, wording


def pair(low, high, groups=44, discordant=30, n=132):
    return {"low": low, "high": high, "groups": groups, "discordant_groups": discordant, "n": n}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (pair(0.01, 0.2), "better"),
        (pair(-0.01, 0.2), "open"),
        (pair(-0.3, -0.01), "worse"),
        (pair(0.01, 0.2, discordant=19), "few"),
        (pair(-0.3, -0.01, discordant=2), "worse"),
        (pair(0.01, 0.2, groups=132, discordant=8), "better"),  # without groups Tango's interval needs no such rule
        (pair(0.0, 0.2), "open"),
    ],
)
def test_no_more_is_said_than_the_interval_allows(found, said):
    assert wording.standing(found) == said


def test_numbers_as_people_write_them():
    assert wording.percent(0.8812) == "88.1\u202f%"
    assert (wording.points(0.0651), wording.points(-0.0651)) == ("+6.5", "\u22126.5")
    assert (wording.points(-0.0002), wording.signed(-0.0002), wording.signed(-0.0651)) == ("+0.0", "+0.0", "-6.5")
    assert wording.interval({"low": 0.845, "high": 0.909}) == "84.5 to 90.9"
    assert [wording.p_value(p) for p in (0.03571, 0.00052, 0.00001, 1.0)] == [
        "p = 0.036",
        "p = 0.0005",
        "p < 0.0001",
        "p = 1.000",
    ]
    assert [wording.many(n, "image") for n in (0, 1, 1200)] == ["0 images", "1 image", "1,200 images"]
    assert wording.title("macro_f1") == "Macro-F1"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 300, [0, 100, 200, 300]), (0.12, 2.0, [0, 0.5, 1.0, 1.5, 2.0]), (56, 83, [50, 60, 70, 80, 90]), (1, 1, [1])],
)
def test_ticks_are_round_and_cover(low, high, expected):
    found = charts.ticks(low, high)
    assert found[: len(expected)] == pytest.approx(expected, abs=1e-6)
    assert found[0] <= low
    assert found[-1] >= high


def test_smoothing_starts_at_the_first_value():
    assert charts.smoothed([4.0, 4.0, 4.0]) == pytest.approx([4.0, 4.0, 4.0])
    assert charts.smoothed([1.0, 3.0], weight=0.5) == pytest.approx([1.0, (0.25 * 1 + 0.5 * 3) / 0.75])


def test_a_flat_curve_can_be_drawn():
    plot = charts.curve("loss", "step", {"training": [(1.0, 2.0), (2.0, 2.0)]}, best=2.0)
    assert len(plot.lines[0][1].split()) == 2
    assert [text for *_, text in plot.markers] == ["2"]


def test_long_curves_are_thinned_to_their_end():
    line = [(float(i), float(i)) for i in range(10_001)]
    thin = charts.thinned(line)
    assert len(thin) <= 401
    assert (thin[0], thin[-1]) == (line[0], line[-1])


def test_json_in_html_cannot_end_its_element():
    text = gallery.safe_json(["</script><!--", "a & b", "\u2028"])
    assert not set("<>&\u2028") & set(text)


def confusion(*rows):
    return {"confusion": {"labels": ["a", "b", None], "rows": [list(row) for row in rows]}}


@pytest.mark.parametrize(
    ("tuned", "said"),
    [
        (
            confusion([0, 3, 0], [0, 4, 0]),
            ["The tuned model answered \u201cb\u201d to all 7 images and so tells none apart."],
        ),
        (confusion([1, 2, 0], [0, 4, 0]), []),
        (confusion([0, 3, 0], [0, 4, 1]), []),  # it was silent once
        (confusion([0, 0, 3], [0, 0, 4]), []),  # silence is counted elsewhere
        (confusion([0, 0, 0], [0, 4, 0]), []),  # there was nothing to tell apart
        ({"confusion": None}, []),
        ({}, []),
    ],
)
def test_one_answer_to_everything_is_said(tuned, said):
    assert wording.alike({"tuned": tuned, "majority": confusion([0, 3, 0], [0, 4, 0])}) == said


def test_a_rival_goes_by_its_own_name():
    said = wording.alike({"gpt-4o": confusion([2, 0, 0], [1, 0, 0])})
    assert said == ["gpt-4o answered \u201ca\u201d to all 3 images and so tells none apart."]
