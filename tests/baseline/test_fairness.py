"""The fair-baseline check: each handicap is named, and what is not known is not called fair."""

import json
from dataclasses import replace

import pytest

from finetune.baseline import fairness
from finetune.config.schema import BaselineConfig, Config, ModelConfig

PACK = {
    "model_requested": "gpt-4o",
    "model_returned": "gpt-4o-2024-05-13",
    "recorded_to": "2026-05-01T10:00:00Z",
    "parameters": {"temperature": {"value": 0, "status": "accepted"}},
    "pixel_policy": {"max_side": None},
}


def rows(pack=PACK, kind="recorded", seen_px=None, unanswered=None, on="2026-06-01", texts=None, **settings):
    config = replace(Config(), baseline=BaselineConfig(kind=kind, **settings))
    found = fairness.check(
        config, pack, seen_px=seen_px, unanswered=unanswered, texts=texts, labels=("good", "pit"), on=on
    )
    assert [row["check"] for row in found] == ["pixels", "prompt", "snapshot", "schema"]
    return {row["check"]: (row["status"], row["detail"]) for row in found}


def test_a_pack_that_was_made_up_is_never_a_fair_baseline():
    config = replace(Config(), baseline=BaselineConfig(kind="recorded"))
    found = {row["check"]: row for row in fairness.check(config, PACK | {"synthetic": True}, on="2026-06-01")}
    assert found["made up"] == {
        "check": "made up",
        "status": "fail",
        "detail": "The answers were made up for tests; no model was asked.",
    }


def test_without_a_baseline_there_is_nothing_to_check():
    assert fairness.check(Config(), None) == []


@pytest.mark.parametrize(
    ("changes", "seen", "status", "detail"),
    [
        ({"pixel_policy": {"max_side": None}}, 448, "pass", "as they are"),
        ({"pixel_policy": {"max_side": 512}}, 448, "pass", "at most 512 px a side, the tuned model saw 448 px"),
        ({"pixel_policy": {"max_side": 320}}, 448, "fail", "at most 320 px a side, the tuned model saw 448 px"),
        ({"pixel_policy": {"max_side_px": 320}}, 448, "fail", "at most 320 px"),
        ({"pixel_policy": {"max_side": 320}}, None, "unknown", "what the tuned model saw is not known"),
        ({"parameters": {"detail": {"value": "low", "status": "accepted"}}}, 1024, "fail", "at most 512 px"),
        ({"parameters": {"detail": "low"}, "pixel_policy": "png"}, 300, "pass", "at most 512 px"),
        ({"pixel_policy": "as recorded"}, 448, "unknown", "does not say how large"),
    ],
)
def test_pixels(changes, seen, status, detail):
    found = rows(PACK | changes, seen_px=seen)["pixels"]
    assert found[0] == status
    assert detail in found[1]


def test_pixels_of_a_live_baseline_are_in_the_config():
    assert rows(None, "openai_compatible", seen_px=512)["pixels"][0] == "pass"
    assert rows(None, "openai_compatible", seen_px=512, max_side=256)["pixels"][0] == "fail"
    low = rows(None, "any_llm", seen_px=768, parameters={"detail": "low"})["pixels"]
    assert low == ("fail", "The baseline got at most 512 px a side, the tuned model saw 768 px.")


@pytest.mark.parametrize(
    ("pack", "kind", "settings", "status"),
    [
        (None, "any_llm", {}, "fail"),
        (None, "any_llm", {"prompts": ("Look closely: {labels}?",)}, "pass"),
        (None, "any_llm", {"shots": (0, 4)}, "pass"),
        (PACK, "recorded", {"prompts": ("ignored",)}, "unknown"),
        (
            PACK | {"prompt_choice": [{"prompt": None, "shots": 0}, {"prompt": "Look", "shots": 0}]},
            "recorded",
            {},
            "pass",
        ),
        (PACK | {"prompt_choice": []}, "recorded", {}, "fail"),
        (PACK | {"prompt_choice": []}, "any_llm", {"shots": (0, 4)}, "fail"),
    ],
)
def test_prompt(pack, kind, settings, status):
    assert rows(pack, kind, **settings)["prompt"][0] == status


@pytest.mark.parametrize(
    ("name", "on", "status", "detail"),
    [
        ("gpt-4o-2024-05-13", "2026-10-22", "pass", "answers until 2026-10-23"),
        ("gpt-4o-2024-05-13", "2026-10-23", "fail", "recorded 2026-05-01 was retired on 2026-10-23"),
        ("openai/gpt-4-vision-preview", "2026-06-01", "fail", "was retired on 2024-12-06"),
        (["gpt-4o", "chatgpt-4o-latest"], "2026-06-01", "fail", "chatgpt-4o-latest, recorded 2026-05-01 was retired"),
        ("Qwen/Qwen2.5-VL-72B", "2026-10-28", "pass", "not among the retirements known here (as of 2026-"),
        ("Qwen/Qwen2.5-VL-72B", "2026-10-29", "unknown", "nothing says that it answered within the last 180 days"),
        ("Qwen/Qwen2.5-VL-72B", "2026-04-30", "unknown", "nothing says that it answered within the last 180 days"),
    ],
)
def test_snapshot(name, on, status, detail):
    found = rows(PACK | {"model_returned": name}, on=on)["snapshot"]
    assert found[0] == status
    assert detail in found[1]


def test_the_snapshot_of_a_live_baseline_is_in_the_config():
    assert rows(None, "any_llm", model="anthropic/claude-3-opus-20240229")["snapshot"][0] == "fail"
    assert rows(None, "any_llm")["snapshot"][0] == "pass"  # it answers today


@pytest.mark.parametrize(
    ("parameters", "unanswered", "status"),
    [
        ({"response_format": {"status": "accepted"}}, 7, "pass"),
        ({"response_format": "json_schema"}, None, "pass"),
        ({"response_format": {"status": "refused"}}, 7, "pass"),
        ({}, 0, "pass"),
        ({}, 7, "fail"),
        ({}, None, "unknown"),
    ],
)
def test_schema(parameters, unanswered, status):
    assert rows(PACK | {"parameters": parameters}, unanswered=unanswered)["schema"][0] == status


@pytest.mark.parametrize(
    ("texts", "unanswered", "status", "detail"),
    [
        (["good", '{"answer": "pit"}', '"pit"'], 0, "pass", "answered under an enum schema"),
        (["good", "It is a pit."], 0, "pass", "was not honoured, and every reply of the baseline named one answer"),
        (["good", "I see nothing."], 1, "fail", "1 of 2 replies do not have its form, and 1 of them named no single"),
        (["1"], 1, "fail", "1 of 1 replies do not have its form"),
    ],
)
def test_a_schema_counts_as_accepted_where_the_replies_have_its_form(texts, unanswered, status, detail):
    sent = {"parameters": {"response_format": {"value": {"type": "json_schema"}, "status": "accepted"}}}
    found = rows(PACK | sent, texts=texts, unanswered=unanswered)["schema"]
    assert found[0] == status
    assert detail in found[1]


def test_open_answers_have_no_schema():
    config = replace(Config(), baseline=BaselineConfig(kind="any_llm"))
    assert fairness.check(config, None, closed=False)[3]["status"] == "pass"


def test_a_live_baseline_without_schema_fails():
    assert rows(None, "any_llm")["schema"] == ("fail", "No enum schema of the labels was used.")


def test_what_a_local_model_sees(tmp_path):
    assert fairness.side_px(ModelConfig()) == 128
    assert fairness.side_px(ModelConfig(), largest_px=96) == 96
    assert fairness.side_px(ModelConfig(pixels={"size": {"longest_edge": 256}})) == 256
    (tmp_path / "config.json").write_text("{}")
    model = ModelConfig(path=str(tmp_path))
    assert fairness.side_px(model) is None
    old = {"size": {"height": 336, "width": 336}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(old))
    assert fairness.side_px(model, largest_px=300) == 300
    assert fairness.side_px(model) == 336
    area = {"size": {"longest_edge": 12845056, "shortest_edge": 3136}}  # Qwen2-VL counts the area there
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(area))
    assert fairness.side_px(model) == 3584
    assert fairness.side_px(model, largest_px=300) == 300


def test_every_retirement_has_a_date_and_a_source():
    found = fairness._retirements()
    for entry in found["models"].values():
        assert len(entry["date"]) == 10
        assert entry["date"][:2] == "20"
        assert "." in entry["source"]
