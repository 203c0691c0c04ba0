"""What is asked, and the key under which its reply is kept: the same question has one key, another has another."""

import base64
import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from finetune.baseline import images_sent, live, outcomes, prompts, sdks
from finetune.baseline.prompts import Request, Setup, Turn
from finetune.config.schema import BaselineConfig, Config, TaskConfig
from finetune.errors import ConfigError
from finetune.example import Example, ImageRef, Message

RED, BLUE = (images_sent.encode(Image.new("RGB", (4, 3), colour), None) for colour in ("red", "blue"))
TASK = TaskConfig(question="Which?", labels=("ALPHA", "BETA"))
LABELS = ("ALPHA", "BETA")
PLAIN = Setup()


def asked(**changes):
    usual = {"model": "m", "turns": (Turn("user", "Which?", (RED, BLUE)),), "options": {"max_tokens": 9, "top_p": 1}}
    return Request(**(usual | changes))


@pytest.mark.parametrize(
    "other",
    [
        asked(model="m2"),
        asked(turns=(Turn("user", "Which? ", (RED, BLUE)),)),
        asked(turns=(Turn("user", "Which?", (BLUE, RED)),)),
        asked(turns=(Turn("user", "Which?", (RED,)),)),
        asked(turns=(Turn("system", "Which?", (RED, BLUE)),)),
        asked(turns=(Turn("user", "Which?", (RED,)), Turn("user", "", (BLUE,)))),
        asked(options={"max_tokens": 9}),
        asked(options={"max_tokens": 9, "top_p": 0.5}),
        asked(options={"max_tokens": 9, "top_p": "1"}),
    ],
)
def test_another_question_has_another_key(other):
    assert other.key != asked().key


def test_the_key_goes_by_pixels_not_by_bytes_and_by_no_order_of_options():
    as_jpeg = replace(RED, content=b"other bytes", media_type="image/jpeg")
    assert asked(turns=(Turn("user", "Which?", (as_jpeg, BLUE)),)).key == asked().key
    assert asked(options={"top_p": 1, "max_tokens": 9}).key == asked().key


def test_the_key_stays_what_it_was():
    """A key that changes asks everybody's questions again, for money: sha256 of the canonical JSON, by hand."""
    text = '{"model":"m","options":{},"turns":[["user","Which?",[]]]}'
    assert Request("m", (Turn("user", "Which?"),), {}).key == hashlib.sha256(text.encode()).hexdigest()


def test_the_turns_on_the_wire():
    messages = asked(turns=(Turn("system", "Be brief."), Turn("user", "Which?", (RED,)))).messages()
    assert messages[0] == {"role": "system", "content": "Be brief."}
    picture, text = messages[1]["content"]
    assert text == {"type": "text", "text": "Which?"}
    head, _, data = picture["image_url"]["url"].partition(",")
    assert (head, base64.b64decode(data)) == ("data:image/png;base64", RED.content)


def example(name="a", question="Which?", target="ALPHA", messages=None):
    return Example(name, (ImageRef(f"{name}.png"),), target, name, messages or (Message("user", question),))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (None, "Which?"),
        ("{question}", "Which?"),
        ("Look. {question} Say {labels}.", "Look. Which? Say ALPHA, BETA."),
        ("{labels} or {labels}", "ALPHA, BETA or ALPHA, BETA"),
        ("{other} {0} {}", "{other} {0} {}"),
    ],
)
def test_wording(prompt, expected):
    assert prompts.wording(Setup(prompt), LABELS, example()) == expected


def built(tmp_path, setup=PLAIN, schema=False, one=None, task=TASK, **changes):
    for name in "ab":
        Image.new("RGB", (4, 3), "red" if name == "a" else "blue").save(tmp_path / f"{name}.png")
    one = one or example()
    baseline = replace(BaselineConfig("openai_compatible", model="m", max_tokens=9), **changes)
    sent = images_sent.of(one, tmp_path, baseline.max_side)
    return prompts.build(baseline, task, LABELS, setup, one, sent, tmp_path, model="m", schema=schema)


def test_a_plain_question(tmp_path):
    assert built(tmp_path) == Request("m", (Turn("user", "Which?", (RED,)),), {"max_tokens": 9})


def test_the_system_turn_of_the_run_goes_first_and_no_answer_goes_at_all(tmp_path):
    messages = (Message("system", "Be brief."), Message("user", "Which?"), Message("assistant", "ALPHA"))
    turns = built(tmp_path, one=example(messages=messages)).turns
    assert turns == (Turn("system", "Be brief."), Turn("user", "Which?", (RED,)))


def test_worked_examples_go_before_the_question_with_their_answers(tmp_path):
    turns = built(tmp_path, Setup("{question}!", (example("b", target="BETA"),))).turns
    assert turns == (Turn("user", "Which?!", (BLUE,)), Turn("assistant", "BETA"), Turn("user", "Which?!", (RED,)))


def test_parameters_add_replace_and_take_away(tmp_path):
    assert built(tmp_path, parameters={"temperature": 0}).options == {"max_tokens": 9, "temperature": 0}
    assert built(tmp_path, parameters={"max_tokens": 5}).options == {"max_tokens": 5}
    assert built(tmp_path, parameters={"max_tokens": None}).options == {}


def test_closed_answers_as_a_schema(tmp_path):
    schema = built(tmp_path, schema=True).options["response_format"]["json_schema"]
    assert schema["schema"]["properties"]["answer"]["enum"] == ["ALPHA", "BETA"]
    assert (schema["strict"], schema["schema"]["additionalProperties"]) == (True, False)
    assert "response_format" not in built(tmp_path, schema=False).options
    assert "response_format" not in built(tmp_path, schema=True, parameters={"response_format": None}).options


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"answer": "ALPHA"}', "ALPHA"),
        (' {"answer": ""} ', ""),
        ('{"answer": 1}', '{"answer": 1}'),
        ('{"answer": "ALPHA", "why": "x"}', '{"answer": "ALPHA", "why": "x"}'),
        ('{"ANSWER": "ALPHA"}', '{"ANSWER": "ALPHA"}'),
        ('["ALPHA"]', '["ALPHA"]'),
        ('{"answer": "AL', '{"answer": "AL'),
        ("ALPHA", "ALPHA"),
        ("", ""),
    ],
)
def test_only_our_own_object_is_opened(text, expected):
    assert prompts.unwrap(asked(options={"response_format": {}}), text) == expected
    assert prompts.unwrap(asked(), text) == text


@given(st.text())
def test_any_text_passes_or_is_opened(text):
    assert isinstance(prompts.unwrap(asked(options={"response_format": {}}), text), str)


@pytest.mark.parametrize(
    ("options", "refused", "kept"),
    [
        ({"max_tokens": 9, "top_p": 1}, "max_tokens", {"top_p": 1, "max_completion_tokens": 9}),
        ({"max_completion_tokens": 9}, "max_completion_tokens", {}),
        ({"max_tokens": 9, "top_p": 1}, "top_p", {"max_tokens": 9}),
    ],
)
def test_options_without_one(options, refused, kept):
    assert sdks.without(options, refused) == kept


@pytest.mark.parametrize("number", range(8))
def test_worked_examples_are_as_many_as_there_are(number):
    train = [example(f"{n}", target="ALPHA" if n < 4 else "BETA") for n in range(5)]
    chosen = prompts.worked(train, LABELS, number)
    assert len(chosen) == min(number, 5) == len({one.id for one in chosen})
    assert [one.target for one in chosen[:3]] == ["ALPHA", "BETA", "ALPHA"][:number]


@pytest.mark.parametrize("withheld", [*outcomes.WITHHELD, None])
def test_the_text_of_a_withheld_reply_is_not_read(withheld):
    how = {"seconds": 0.5, "model": "m", "usage": {"cost": 1.0}}
    row = outcomes.prediction(TASK, LABELS, example(), "0", text="ALPHA", withheld=withheld, **how)
    assert (row.outcome, row.answer) == ((withheld, None) if withheld else ("correct", "ALPHA"))
    assert (row.text, row.usage, row.gold, row.image_sha256) == ("ALPHA", {"cost": 1.0}, "ALPHA", "0")


@pytest.mark.parametrize("outcome", ["correct", "wrong", "unparsed", None])
def test_what_our_parser_found_is_judged_again(outcome):
    assert outcomes.withheld({"outcome": outcome}) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": None}, "got None; expected a model id"),
        ({"base_url": None}, r"needs baseline\.base_url"),
        ({"kind": "any_llm"}, "PROVIDER/MODEL"),
        ({"shots": (-1,)}, r"baseline\.shots and baseline\.retries must be 0 or more"),
        ({"retries": -1}, "must be 0 or more"),
        ({"rate_per_min": 0}, r"baseline\.rate_per_min 1 or more"),
        ({"max_side": 0}, r"baseline\.max_side must be 1 or more"),
        ({"max_tokens": 0}, r"baseline\.max_tokens and"),
        ({"timeout_s": 0.0}, r"baseline\.timeout_s above 0"),
        ({"timeout_s": float("nan")}, r"baseline\.timeout_s above 0"),
        ({"parameters": {"messages": [], "top_p": 1, "model": "x"}}, "model, messages cannot be set; one whole reply"),
        ({"parameters": {"stream": True}}, "stream cannot be set"),
        ({"parameters": {"n": 5}}, "n cannot be set"),
    ],
)
def test_settings_that_cannot_be_used(changes, told):
    usual = BaselineConfig("openai_compatible", model="m", base_url="http://localhost/v1", parameters={"top_p": 1})
    live.check(replace(Config(), baseline=usual))
    with pytest.raises(ConfigError, match=told):
        live.check(replace(Config(), baseline=replace(usual, **changes)))
