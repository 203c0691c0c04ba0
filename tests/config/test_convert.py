"""Strict conversion: what is refused, and that every mistake is told at once."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.config.convert import dotted_keys, to_dataclass, unknown_key
from finetune.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    learning_rate: float = 0.5
    learning_rates: float = 0.5
    when: int | Literal["epoch", "never"] = "epoch"


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 1
    labels: tuple[str, ...] = ()
    flag: bool = False
    maybe: str | None = None
    inner: Inner = field(default_factory=Inner)
    options: dict[str, Any] = field(default_factory=dict)
    synonyms: dict[str, tuple[str, ...]] = field(default_factory=dict)


def complaints(tree: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        to_dataclass(tree, Outer)
    return str(caught.value).split("\n")


def test_a_whole_tree_is_converted() -> None:
    tree = {
        "name": "a", "count": 2, "labels": ["x", "01"], "flag": True, "maybe": None,
        "inner": {"learning_rate": 1, "when": 5}, "options": {"a": [1, {"b": None}]}, "synonyms": {"x": ["y"]},
    }  # fmt: skip
    got = to_dataclass(tree, Outer)
    assert got == Outer("a", 2, ("x", "01"), True, None, Inner(1.0, 0.5, 5), {"a": [1, {"b": None}]}, {"x": ("y",)})
    assert type(got.inner.learning_rate) is float


def test_every_mistake_is_told_at_once() -> None:
    found = complaints({"count": "2", "labels": [True, 1, "ok"], "nmae": "x", "inner": {"lr": 1, "when": "epch"}})
    assert len(found) == 7
    assert "name: is required" in found


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"name": True}, "name: got true (a YAML boolean), expected text: quote it, or its spelling is lost"),
        ({"name": "a", "labels": [1]}, "labels[0]: got 1 (a whole number), expected text: quote the label"),
        (
            {"name": "a", "synonyms": {"x": [False]}},
            "synonyms.x[0]: got false (a YAML boolean), expected text: quote the",
        ),
        (
            {"name": "a", "synonyms": {True: ["x"]}},
            "synonyms.True: this key is a YAML boolean, expected text: quote it",
        ),
        ({"name": "a", "count": True}, "count: got true (a YAML boolean), expected a whole number"),
        ({"name": "a", "count": 1.5}, "count: got 1.5 (a number), expected a whole number"),
        ({"name": "a", "flag": "yes"}, "flag: got 'yes' (text), expected true or false"),
        ({"name": "a", "labels": "x"}, "labels: got 'x' (text), expected a list [A,B,...]"),
        ({"name": "a", "inner": 3}, "inner: got 3 (a whole number), expected keys and values"),
        ({"name": "a", "inner": {"when": "nevr"}}, "expected one of epoch, never. Did you mean never?"),
        ({"name": "a", "inner": {"lr": 3}}, "inner.lr: there is no such key. Did you mean inner.learning_rate?"),
        ({"name": "a", "options": [1]}, "options: got [1] (a list), expected keys and values"),
        ({"name": None}, "name: got null, expected text"),
    ],
)
def test_the_message_says_what_was_wrong(tree: Any, message: str) -> None:
    assert any(message in line for line in complaints(tree))


def test_nearest_key() -> None:
    menu = dotted_keys(Outer)
    assert "inner.learning_rate" in menu
    assert unknown_key("inner.learning_rat", menu).endswith("Did you mean inner.learning_rate?")
    assert unknown_key("zzzz", menu) == "zzzz: there is no such key."


@given(st.text(), st.integers(), st.lists(st.text()), st.booleans())
def test_text_stays_text(name: str, count: int, labels: list[str], flag: bool) -> None:
    got = to_dataclass({"name": name, "count": count, "labels": labels, "flag": flag}, Outer)
    assert (got.name, got.count, list(got.labels), got.flag) == (name, count, labels, flag)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists))
def test_any_value_is_converted_or_refused_with_a_message(value: Any) -> None:
    for name in ("name", "count", "labels", "flag", "maybe", "inner", "options", "synonyms"):
        message = _refusal({"name": "a", name: value})
        assert message is None or message.startswith(name)


def _refusal(tree: Any) -> str | None:
    try:
        to_dataclass(tree, Outer)
    except ConfigError as error:
        return str(error)
    return None


def test_an_exponent_that_yaml_takes_for_text_says_how_to_write_it() -> None:
    (found,) = complaints({"name": "a", "inner": {"learning_rate": "2e-4"}})
    assert found.endswith("expected a number: YAML takes an exponent for a number only after a point, as in 2.0e-4")
