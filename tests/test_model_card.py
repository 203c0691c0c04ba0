import pytest

from finetune import compose, model_card


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
