"""Speed and money: every figure worked out by hand, and nothing said that was neither measured nor declared."""

import pytest
from report import bare

from finetune.report import costs as money


def timed(tmp_path, seconds, who="tuned"):
    found = bare.facts(
        tmp_path, metrics=bare.models(**{who: {"n": len(seconds), "seconds_per_item": sum(seconds) / len(seconds)}})
    )
    found.run.write_jsonl(found.run.predictions(who), [{"seconds": value} for value in seconds])
    return money.speeds(found)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "under 1 ms"),
        (0.0009, "under 1 ms"),
        (0.001, "1 ms"),
        (0.0124, "12 ms"),
        (0.999, "999 ms"),
        (1.0, "1.0 s"),
        (1.44, "1.4 s"),
        (95.0, "95.0 s"),
    ],
)
def test_seconds_in_the_unit_that_fits(value, text):
    assert money.seconds(value) == text


def test_speed_by_hand(tmp_path):
    """Of 0.01 .. 0.21 s: mean and median 0.11, 95 % lie at or under the twentieth of the 21, 0.20."""
    (row,) = timed(tmp_path, [n / 100 for n in range(1, 22)])
    assert row == {"who": "tuned", "mean": "110 ms", "median": "110 ms", "late": "200 ms", "hourly": "32,727"}


def test_the_slowest_twentieth_is_never_slower_than_the_slowest(tmp_path):
    """Two items have no 95th percentile outside of them: 1 s + 0.95 * 1 s."""
    (row,) = timed(tmp_path, [1.0, 2.0])
    assert row["late"] == "1.9 s"  # 1.95, rounded to even
    (row,) = timed(tmp_path, [0.2, 0.2, 0.2])
    assert row["late"] == "200 ms"


@pytest.mark.parametrize(("seconds", "who"), [([0.5], "tuned"), ([0.1, 0.1], "majority"), ([0.0, 0.0], "tuned")])
def test_no_speed_of_one_item_of_no_model_or_of_no_time(tmp_path, seconds, who):
    models = {"tuned": {"accuracy": bare.score(0.5)}, who: {"accuracy": bare.score(0.5)}}
    detail = {"n": len(seconds), "seconds_per_item": sum(seconds) / len(seconds)}
    found = bare.facts(tmp_path, comparison=bare.comparison(models=models), metrics=bare.models(**{who: detail}))
    found.run.write_jsonl(found.run.predictions(who), [{"seconds": value} for value in seconds])
    assert money.speeds(found) == []


def test_rows_without_a_time_do_not_count(tmp_path):
    found = bare.facts(tmp_path, metrics=bare.models(rival={"n": 4, "seconds_per_item": 1.0}))
    found.run.write_jsonl(found.run.predictions("rival"), [{"seconds": None}, {"seconds": 1.0}, {"seconds": 3.0}, {}])
    (row,) = money.speeds(found)
    assert (row["who"], row["median"], row["hourly"]) == ("rival", "2.0 s", "3,600")


def test_mistakes_need_both_rates():
    found = bare.comparison(models={"tuned": {"sensitivity": bare.score(0.9)}, "rival": {"accuracy": bare.score(0.9)}})
    assert money.mistakes(bare.facts(comparison=found)) == []


def test_a_rate_of_no_items_is_no_mistake():
    """A test without a positive item has no sensitivity, and the report is written all the same."""
    nothing = {"value": None, "low": None, "high": None}
    found = bare.comparison(models={"tuned": {"sensitivity": nothing, "specificity": bare.score(0.9)}})
    assert money.mistakes(bare.facts(comparison=found)) == []


def test_mistakes_turn_intervals_round():
    scores = {"sensitivity": bare.score(0.9, 0.7, 0.95), "specificity": bare.score(0.6, 0.5, 0.8)}
    (row,) = money.mistakes(bare.facts(comparison=bare.comparison(models={"tuned": scores})))
    assert row["miss"] == f"10.0{bare.NARROW}% (5.0 to 30.0)"
    assert row["overkill"] == f"40.0{bare.NARROW}% (20.0 to 50.0)"


def test_a_thousand_parts_in_use():
    detail = {
        "prevalence": {"miss": 0.0032, "overkill": 0.0415, "review": None, "ppv": 0.4, "npv": 0.9971},
        "cost": {"per_thousand": 1234.5, "parts": {"miss": 128.0, "false_alarm": 62.25}},
    }
    (row,) = money.in_use(bare.facts(metrics=bare.models(tuned=detail, base={"prevalence": {}})))
    assert row == {
        "who": "tuned",
        "miss": "3.2",
        "overkill": "41.5",
        "review": "",
        "ppv": f"40.0{bare.NARROW}%",
        "npv": f"99.7{bare.NARROW}%",
        "cost": "1,234.50",
        "parts": "miss 128.00, false alarm 62.25",
    }


def test_parts_in_use_without_costs():
    (row,) = money.in_use(bare.facts(metrics=bare.models(rival={"prevalence": {"miss": 0.001, "ppv": None}})))
    assert (row["miss"], row["ppv"], row["cost"], row["parts"]) == ("1.0", "", "", "")


def test_what_was_declared_is_repeated():
    given = bare.config(prevalence={"good": 0.97, "pit": 0.03}, costs={"miss": 40.0, "false_alarm": 1.5})
    told = money.declared(bare.facts(config=given))
    assert told == (
        f"Per 1,000 parts in real use, at the declared shares: good 97.0{bare.NARROW}%, pit 3.0{bare.NARROW}%. "
        "Declared costs: miss 40, false alarm 1.5."
    )
    free = money.declared(bare.facts(config=bare.config(prevalence={"good": 1.0})))
    assert free.endswith("No costs were declared (evaluate.costs), so none are computed.")


def test_what_was_not_declared_is_not_invented():
    told = money.declared(bare.facts(config=bare.config(costs={"miss": 40.0})))
    assert "was not declared (evaluate.prevalence)" in told
    assert "40" not in told


USAGE = {"cost": 0.5, "input_tokens": 81200.0, "output_tokens": 1400.0}


@pytest.mark.parametrize(
    ("who", "usage", "costs", "price"),
    [
        ("rival", USAGE, {}, 0.005),
        ("rival", {"input_tokens": 5.0}, {"item": 0.1}, None),  # a declared price is that of one's own machine
        ("tuned", {}, {"item": 0.0004}, 0.0004),
        ("tuned", {}, {"miss": 3.0}, None),
        ("tuned", {"cost": 0.0}, {"item": 0.1}, 0.0),  # free is a price
    ],
)
def test_price_of_an_item(who, usage, costs, price):
    found = bare.facts(config=bare.config(costs=costs), metrics=bare.models(**{who: {"n": 100, "usage": usage}}))
    assert money.price_per_item(found, who) == price


def test_prices_say_where_they_are_from():
    metrics = bare.models(rival={"n": 100, "usage": USAGE}, tuned={"n": 100})
    rows = money.prices(bare.facts(config=bare.config(costs={"item": 0.0004}), metrics=metrics))
    assert rows == [
        {"who": "tuned", "cost": "0.40", "source": "config"},
        {
            "who": "rival",
            "cost": "5.00",
            "source": "measured: 81,200 input tokens, 1,400 output tokens on 100 items",
        },
    ]


def test_a_declared_price_beside_counted_tokens_is_not_called_measured():
    metrics = bare.models(tuned={"n": 100, "usage": {"input_tokens": 9.0}})
    (row,) = money.prices(bare.facts(config=bare.config(costs={"item": 0.001}), metrics=metrics))
    assert row == {"who": "tuned", "cost": "1.00", "source": "config"}


@pytest.mark.parametrize(
    ("own", "other", "told"),
    [
        (0.001, 0.5, "after 250,000 items"),  # 0.005 - 0.001 = 0.004 an item; 1,000 / 0.004
        (0.005, 0.5, "There is no break-even volume: an item costs 0.005 on your own machine and 0.005 with rival."),
        (0.02, 0.5, "There is no break-even volume"),
        (None, 0.5, "No break-even volume: evaluate.costs.item (one item on your machine) not known."),
        (0.001, None, "No break-even volume: the price of rival not known."),
        (None, None, "(one item on your machine) and the price of rival not known."),
    ],
)
def test_break_even(own, other, told):
    costs = {} if own is None else {"item": own}
    usage = {} if other is None else {"cost": other}
    found = bare.facts(config=bare.config(costs=costs), metrics=bare.models(rival={"n": 100, "usage": usage}))
    assert told in money.break_even(found)


def test_without_a_rival_there_is_nothing_to_break_even_with():
    decision = bare.comparison()["decision"] | {"rule": {"baseline": None}}
    assert money.break_even(bare.facts(comparison=bare.comparison(decision=decision))) == ""
