"""Tables of the report: each cell from a figure written here."""

import pytest
from report import bare

from finetune.report import results
from finetune.report.results import Cell


def criterion(**row):
    (found,) = results.criteria(
        bare.facts(comparison=bare.comparison(decision={"criteria": [{"status": "pass", **row}]}))
    )
    return found


@pytest.mark.parametrize(
    ("row", "value", "bound"),
    [
        ({"name": "noninferior", "value": -0.01, "bound": -0.03}, "-1.0 points", "-3.0 points"),
        (
            {"name": "beats_majority", "value": 0.2, "low": 0.1, "high": 0.3, "bound": 0},
            "+20.0 points (+10.0 to +30.0)",
            "above 0",
        ),
        ({"name": "assay_sensitivity", "value": 0.0}, "+0.0 points", ""),
        ({"name": "floor", "value": 0.8, "low": 0.7, "high": 0.9, "bound": 0.75}, "80.0 % (70.0 to 90.0)", "75.0 %"),
        ({"name": "selective_risk", "value": 0.01, "high": 0.04, "bound": 0.05}, "1.0 % (at most 4.0 %)", "5.0 %"),
        ({"name": "fair_baseline"}, "", ""),
        ({"name": "coverage", "value": None, "bound": 0.0}, "", "0.0 %"),
    ],
)
def test_criteria_in_their_own_unit(row, value, bound):
    found = criterion(**row)
    plain = [text.replace(bare.NARROW, " ").replace(bare.MINUS, "-") for text in (found.value, found.bound)]
    assert plain == [value, bound]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("noninferior", "Not worse than the one to be replaced"),
        ("guard sensitivity.pit", "Guard: sensitivity of pit"),
        ("guard sensitivity.0.5 mm", "Guard: sensitivity of 0.5 mm"),
        ("guard accuracy", "Guard: accuracy"),
        ("something_new", "Something new"),
    ],
)
def test_criteria_have_titles(name, title):
    assert criterion(name=name).title == title


def test_guards_name_metric_and_label_once():
    rows = [{"name": "sensitivity.v1.2", "needed": 1200}, {"name": "accuracy", "needed": None}]
    found = results.guards(bare.facts(comparison=bare.comparison(guards=rows)))
    assert [(row["title"], row["need"]) for row in found] == [("sensitivity of v1.2", "1,200 needed"), ("accuracy", "")]
    assert results.guards(bare.facts()) == []


@pytest.mark.parametrize(
    ("name", "score", "value", "interval"),
    [
        ("accuracy", bare.score(0.5, 0.25, 0.75), f"50.0{bare.NARROW}%", "25.0 to 75.0"),
        ("weighted_kappa", bare.score(-0.1, -0.3, 0.1), "-0.100", "-0.300 to 0.100"),
        ("accuracy", {"value": None, "low": None, "high": None}, "\u2013", ""),
        ("accuracy", {"value": 0.5}, f"50.0{bare.NARROW}%", ""),
        ("map", 0.25, f"25.0{bare.NARROW}%", ""),
        ("mae", 12, "12.000", ""),
        ("accuracy", None, "\u2013", ""),
    ],
)
def test_cells(name, score, value, interval):
    assert results.cell(name, score) == Cell(value, interval)


def test_the_headline_has_a_row_a_model_and_a_cell_a_metric():
    models = {
        "base": {"accuracy": bare.score(0.5)},
        "tuned": {"accuracy": bare.score(0.8), "coverage": 0.9, "macro_f1": None},
    }
    bands = {"tuned": {"low": 0.8, "high": 0.9}, "base": {"low": 0.5, "high": 0.5}}
    tuned, base = results.headline(bare.facts(comparison=bare.comparison(models=models, bands=bands)))
    assert (tuned.who, [cell.value for cell in tuned.cells], tuned.band) == (
        "tuned",
        [f"80.0{bare.NARROW}%", f"90.0{bare.NARROW}%"],
        "80.0 to 90.0",
    )
    assert ([cell.value for cell in base.cells], base.band) == ([f"50.0{bare.NARROW}%", "\u2013"], "")


@pytest.mark.parametrize(
    ("there", "shown"),
    [
        (("accuracy",), ["accuracy"]),
        (("accuracy", "coverage", "macro_f1", "auroc"), ["accuracy", "macro_f1"]),
        (("accuracy", "sensitivity", "specificity", "macro_f1"), ["accuracy", "sensitivity", "specificity"]),
        (("token_f1", "exact_match"), ["exact_match", "token_f1"]),
    ],
)
def test_metrics_of_the_plot(there, shown):
    models = {"tuned": {name: bare.score(0.5) for name in there}}
    assert results.shown_metrics(bare.facts(comparison=bare.comparison(models=models))) == shown


def test_the_other_mode_and_its_gains():
    mode = {
        "metrics": {"accuracy": bare.score(0.75)},
        "agreement": {"value": 0.96},
        "format_gain": {"difference": 0.05},
        "perception_gain": -0.02,
    }
    (row,) = results.modes(bare.facts(comparison=bare.comparison(modes={"tuned": mode})))
    assert (row["who"], row["metric"], row["same"]) == ("tuned", "accuracy", f"96.0{bare.NARROW}%")
    assert (row["written"].value, row["deployed"].value) == (f"75.0{bare.NARROW}%", f"80.0{bare.NARROW}%")
    assert (row["format_gain"], row["perception_gain"]) == ("+5.0", f"{bare.MINUS}2.0")


def test_a_mode_without_the_primary_metric_shows_what_it_has():
    mode = {"metrics": {"coverage": 0.5}, "agreement": {"value": 1.0}}
    (row,) = results.modes(bare.facts(comparison=bare.comparison(modes={"base": mode})))
    assert (row["metric"], row["deployed"].value, row["format_gain"]) == ("coverage", "\u2013", "")


CONFUSION = {"labels": ["good", "pit", None], "rows": [[8, 1, 1], [2, 5, 3]]}


def test_confusions_are_shaded_and_silence_is_counted():
    details = bare.models(tuned={"confusion": CONFUSION}, base={"confusion": None}, rival={})
    (found,) = results.confusions(bare.facts(metrics=details))
    assert (found["who"], found["silent"], found["pairs"]) == ("tuned", 4, [])
    assert found["heat"] == [[8, 1, 1], [2, 5, 3]]


def test_many_classes_are_a_list_of_the_commonest_mistakes():
    """13 classes: class 0 taken for class 1 five times, class 2 unanswered twice, all else right."""
    labels = [f"c{n}" for n in range(13)]
    rows = [[9 if column == row else 0 for column in range(14)] for row in range(13)]
    rows[0][1], rows[2][13] = 5, 2
    table = {"labels": [*labels, None], "rows": rows}
    (found,) = results.confusions(bare.facts(metrics=bare.models(tuned={"confusion": table})))
    assert found["pairs"] == [("c0", "c1", 5), ("c2", "no answer", 2)]


def test_twelve_classes_are_still_a_table():
    rows = [[1] * 13 for _ in range(12)]
    assert results._commonest({"labels": [*map(str, range(12)), None], "rows": rows}) == []
    rows = [[1] * 14 for _ in range(13)]
    assert len(results._commonest({"labels": [*map(str, range(13)), None], "rows": rows})) == results.MOST_CLASSES


def test_at_most_three_confusions_and_never_that_of_the_majority():
    models = {who: {"accuracy": bare.score(0.5)} for who in ("majority", "linear", "base", "rival", "tuned")}
    details = bare.models(**{who: {"confusion": CONFUSION} for who in models})
    found = results.confusions(bare.facts(comparison=bare.comparison(models=models), metrics=details))
    assert [row["who"] for row in found] == ["tuned", "rival", "base"]


def test_classes_that_nobody_was_scored_on_are_left_out():
    details = bare.models(
        tuned={"classes": {"good": {"n": 60, "recall": bare.score(0.9), "precision": bare.score(0.8)}}},
        base={"classes": {"good": {"n": 60, "recall": bare.score(0.5), "precision": None}}},
        rival={"classes": {}},
    )
    (row,) = results.classes(bare.facts(metrics=details))
    assert (row["label"], row["n"], list(row["recall"]), list(row["precision"])) == (
        "good",
        60,
        ["tuned", "base"],
        ["tuned"],
    )
    assert row["recall"]["tuned"].value == f"90.0{bare.NARROW}%"


@pytest.mark.parametrize(
    ("primary", "shown"), [("accuracy", "accuracy"), ("balanced_accuracy", "accuracy"), ("sensitivity", "sensitivity")]
)
def test_subgroups_show_a_share_of_items(primary, shown):
    decision = bare.config().evaluate.decision.__class__(metric=primary)
    rows = [{"column": "line", "value": "A", "small": True, "tuned": {shown: bare.score(0.5)}, "rival": None}]
    found = bare.facts(config=bare.config(decision=decision), comparison=bare.comparison(subgroups=rows))
    assert results.subgroup_metric(found) == shown
    (row,) = results.subgroups(found)
    assert {who: cell.value for who, cell in row["cells"].items()} == {
        "tuned": f"50.0{bare.NARROW}%",
        "rival": "\u2013",
        "base": "\u2013",
    }
