import pytest

from finetune.config import compose
from finetune.report import model_card


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no defect", "no defect"),
        ("a|b\n c", r"a\|b c"),
        ("<script>x</script> & y", "&lt;script&gt;x&lt;/script&gt; &amp; y"),
        ("[x](http://y) *z* `q` a_b", r"\[x\](http://y) \*z\* \`q\` a\_b"),
    ],
)
def test_text_of_data_stays_text(text, expected):
    assert model_card.plain(text) == expected


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("# A\n\n## Limits\n\nOnly steel.\nNo glass.\n\n## More\n\nx\n", "Only steel.\nNo glass."),
        ("# A\n\n**Limits.** Only steel.\nNo glass.\n\nMore.\n", "Only steel.\nNo glass."),
        ("# A\n\n## Limits\n", ""),
        ("# A\n", ""),
        (None, ""),
    ],
)
def test_limits_are_those_that_people_wrote_beside_the_recipe(tmp_path, monkeypatch, page, expected):
    (tmp_path / "mine.yaml").write_text("# Mine.\ndata:\n  path: x\n", encoding="utf-8")
    if page is not None:
        (tmp_path / "mine.md").write_text(page, encoding="utf-8")
    monkeypatch.setenv("FINETUNE_RECIPES", str(tmp_path))
    assert model_card._limits(compose.compose(["recipe=mine"])) == expected


def test_a_run_without_a_recipe_has_no_limits():
    assert model_card._limits(compose.compose(["data.path=x"])) == ""


def test_hub_models_are_named_as_base():
    config = compose.compose(["data.path=x", "model=smolvlm_256m"])
    assert model_card._front(config)["base_model"] == "HuggingFaceTB/SmolVLM-256M-Instruct"
    assert any("HuggingFaceTB/SmolVLM-256M-Instruct" in line for line in model_card._usage(config))
    assert "base_model" not in model_card._front(compose.compose(["data.path=x"]))


def verdict(**changes):
    decision = {"verdict": "replace_with_review", "reason": "Safe where it is sure.", "rule": {"baseline": "gpt"}}
    decision |= {"rule_sha256": "ab" * 32, "looks": 2} | changes
    return {field.name: (field.value, field.source) for field in model_card._verdict(decision)}


def test_the_verdict_on_the_card():
    told = verdict(qualifier="measurably_worse", expires="2027-05-21T10:00:00Z")
    assert told["verdict on replacing gpt"] == ("replace with review, measurably worse", "measured")
    assert told["rule, sha256"] == ("ab" * 32, "config")
    assert told["looks at this test"] == ("2", "measured")
    assert told["the verdict expires"] == ("2027-05-21, or when anything in its scope changes", "config")


def test_a_verdict_that_does_not_expire_or_replaces_nobody():
    assert "the verdict expires" not in verdict()
    assert "verdict on replacing another model" in verdict(rule=None)
    assert list(model_card._verdict({})) == []


@pytest.mark.parametrize(
    ("score", "text"),
    [
        ({"value": 0.8812, "low": 0.845, "high": 0.909}, "0.881 (95 % interval 0.845 to 0.909)"),
        ({"value": 0.5, "low": None, "high": None}, "0.500"),
    ],
)
def test_intervals_on_the_card(score, text):
    assert model_card._interval(score, "value") == text


PARITY = {"n": 8, "answers_equal": 8, "max_abs_logit_difference": 0.000123, "tolerance": 0.01, "dtype": "float32"}


@pytest.mark.parametrize(
    ("evaluated", "text", "source"),
    [
        (None, "", "missing"),
        ({"n": 8, "answers_equal": 7, "quantise": "none"}, "7 of 8", "measured"),
        (
            {"n": 8, "answers_equal": 7, "quantise": "nf4"},
            "7 of 8 (made with a 4-bit base; these weights are not)",
            "measured",
        ),
    ],
)
def test_the_merged_weights_say_how_equal_they_are(evaluated, text, source):
    *others, last = model_card._merged(PARITY | {"evaluated": evaluated})
    assert (last.name, last.value, last.source) == ("same answers as in the evaluation", text, source)
    assert [field.value for field in others] == [
        "8 of 8 held-out examples",
        "1.23e-04, tolerance 1.00e-02",
        "float32",
    ]
