"""What a provider's JSON says, shape by shape: the text, or why there is none; tokens as billed."""

import pytest
from baseline import server
from hypothesis import given
from hypothesis import strategies as st

from finetune.baseline import responses
from finetune.baseline.responses import Refusal, Reply

FORMS = ("openai", "anthropic", "gemini")


def openai(content="ALPHA", end="stop", **more):
    return {"model": "m", "choices": [{"message": {"content": content} | more, "finish_reason": end}]}


def anthropic(*blocks, end="end_turn"):
    return {"type": "message", "model": "m", "content": list(blocks), "stop_reason": end}


def gemini(*parts, end="STOP", **more):
    return {"candidates": [{"content": {"parts": list(parts)}, "finishReason": end}], "modelVersion": "m"} | more


@pytest.mark.parametrize("form", FORMS)
def test_a_whole_answer(form):
    assert responses.read(server.body(form, "m", "It is ALPHA.")) == Reply(
        "It is ALPHA.", None, server.ENDS[form]["stop"], "m", 100, 5
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_cut_answer_is_truncated_and_kept(form):
    found = responses.read(server.body(form, "m", "It is AL", "length"))
    assert (found.text, found.withheld, found.detail) == ("It is AL", "truncated", server.ENDS[form]["length"])


@pytest.mark.parametrize(
    ("raw", "withheld", "detail", "text"),
    [
        (openai(None, refusal="I won't."), "refused", "refusal", "I won't."),
        (openai("ALPHA", refusal=None), None, "stop", "ALPHA"),
        (openai("ALPHA", refusal=""), None, "stop", "ALPHA"),
        (openai("", "content_filter"), "filtered", "content_filter", ""),
        (openai("AL", "content_filter"), "filtered", "content_filter", "AL"),
        (openai(None, "stop"), None, "stop", ""),
        (openai("ALPHA", None), None, "", "ALPHA"),
        (openai("ALPHA", "tool_calls"), None, "tool_calls", "ALPHA"),
        (openai([{"type": "text", "text": "AL"}, {"type": "text", "text": "PHA"}]), None, "stop", "ALPHA"),
        (anthropic(end="refusal"), "refused", "refusal", ""),
        (anthropic({"type": "text", "text": "I"}, end="refusal"), "refused", "refusal", "I"),
        (anthropic(end="model_context_window_exceeded"), "truncated", "model_context_window_exceeded", ""),
        (
            anthropic({"type": "thinking", "thinking": "BETA?"}, {"type": "text", "text": "ALPHA"}),
            None,
            "end_turn",
            "ALPHA",
        ),
        (anthropic({"type": "text", "text": "AL"}, {"type": "text", "text": "PHA"}), None, "end_turn", "ALPHA"),
        (gemini({"text": "BETA?", "thought": True}, {"text": "ALPHA"}), None, "STOP", "ALPHA"),
        (gemini(end="SAFETY"), "filtered", "SAFETY", ""),
        (gemini(end="RECITATION"), "filtered", "RECITATION", ""),
        (gemini(end="BLOCKLIST"), "filtered", "BLOCKLIST", ""),
        (gemini(end="SPII"), "filtered", "SPII", ""),
        (gemini(end="IMAGE_SAFETY"), "filtered", "IMAGE_SAFETY", ""),
        (gemini({"text": "A"}, end="OTHER"), None, "OTHER", "A"),
        ({"promptFeedback": {"blockReason": "OTHER"}}, "filtered", "OTHER", ""),
        ({"promptFeedback": {}, "candidates": []}, None, "no candidate", ""),
        ({"candidates": [{"finishReason": "STOP"}]}, None, "STOP", ""),
    ],
)
def test_why_there_is_no_answer(raw, withheld, detail, text):
    found = responses.read(raw)
    assert (found.withheld, found.detail, found.text) == (withheld, detail, text)


@pytest.mark.parametrize(
    ("counts", "billed"),
    [
        ({"candidatesTokenCount": 5, "thoughtsTokenCount": 250}, 255),
        ({"thoughtsTokenCount": 250}, 250),  # thought until the limit: nothing said, yet billed
        ({"candidatesTokenCount": 5}, 5),
        ({"candidatesTokenCount": 0}, 0),
        ({}, None),
    ],
)
def test_thoughts_are_billed_as_output(counts, billed):
    assert responses.read(gemini({"text": "A"}, usageMetadata=counts)).output_tokens == billed


@pytest.mark.parametrize("count", ["100", -1, 1.5, float("nan"), True, None, []])
@pytest.mark.parametrize("form", FORMS)
def test_a_count_that_is_none_is_unknown(form, count):
    raw = server.body(form, "m", "ALPHA")
    usage = raw["usageMetadata" if form == "gemini" else "usage"]
    usage |= dict.fromkeys(usage, count)
    found = responses.read(raw)
    assert (found.text, found.input_tokens, found.output_tokens) == ("ALPHA", None, None)


@pytest.mark.parametrize("form", FORMS)
def test_a_server_that_names_no_model(form):
    raw = server.body(form, "m", "ALPHA")
    name = "modelVersion" if form == "gemini" else "model"
    assert responses.read(raw | {name: 7}).model is None
    del raw[name]
    assert responses.read(raw).model is None


@pytest.mark.parametrize("usage", [None, {}])
def test_a_server_that_counts_nothing(usage):
    found = responses.read(openai() | {"usage": usage})
    assert (found.input_tokens, found.output_tokens) == (None, None)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"error": {"message": "with status 200"}},
        {"choices": []},
        {"choices": None},
        {"choices": [{"finish_reason": "stop"}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"content": [1]}}]},
        {"choices": [{"message": {"content": "A"}, "finish_reason": ["stop"]}]},
        {"choices": [{"message": {"content": "A"}}], "usage": "none"},
        {"type": "message"},
        {"type": "message", "content": [{"text": "A"}]},
        {"type": "message", "content": [{"type": "text"}]},
        {"candidates": [None]},
        {"candidates": [{"content": {"parts": ["A"]}}]},
    ],
)
def test_what_is_no_reply_is_none(raw):
    """The errors that `Asker` counts as a broken reply, and no others."""
    with pytest.raises((KeyError, TypeError, IndexError, ValueError, AttributeError)):
        responses.read(raw)


def test_an_unknown_shape_names_its_keys():
    with pytest.raises(ValueError, match="neither choices nor content nor candidates in it, but id, object"):
        responses.read({"object": 1, "id": 2})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, "retry") for status in (408, 409, 425, 429, 500, 502, 503, 504, 529, 599)),
        *((status, "key") for status in (401, 403)),
        (402, "quota"),
        *((status, "item") for status in (400, 413, 422)),
        *((status, "stop") for status in (301, 307, 404, 405, 410, 415, 451)),
    ],
)
def test_what_a_bare_status_asks_for(status, kind):
    for raw in (None, {}, {"error": None}, {"error": {}}):
        found = responses.read_error(status, raw, ())
        assert (found.kind, found.parameter) == (kind, None)
        assert f"{status}" in found.message


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"message": "API key not valid. Please pass a valid API key."}, "key"),
        (400, {"message": "no", "details": [{"reason": "API_KEY_INVALID"}]}, "key"),
        (500, {"message": "invalid x-api-key"}, "key"),
        (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}, "quota"),
        (400, {"message": "no", "code": "billing_hard_limit_reached"}, "quota"),
        (429, {"message": "Rate limit reached"}, "retry"),
        (400, {"message": "no", "code": "content_filter"}, "filtered"),
        (400, {"message": "no", "innererror": {"code": "ResponsibleAIPolicyViolation"}}, "filtered"),
        (400, {"message": "no", "code": "content_policy_violation"}, "filtered"),
        (500, {"message": "content_filter is down"}, "retry"),
        (400, "a plain text", "item"),
        (404, "a plain text", "stop"),
    ],
)
def test_what_the_words_of_an_error_add(status, error, kind):
    assert responses.read_error(status, {"error": error}, ("temperature",)).kind == kind


SENT = ("max_tokens", "temperature", "response_format", "stop", "top_p")


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "max_tokens"),
        ("`temperature` and `top_p` cannot both be specified", "temperature"),
        ("Unsupported value: 'temperature' does not support 0 with this model.", "temperature"),
        ("TOP_P is deprecated", "top_p"),
        ("This model does not support structured output", "response_format"),
        ("output_config.format: json_schema is not available", "response_format"),
        ("generationConfig.responseJsonSchema is unknown", "response_format"),
        ("stop_sequences: too many", "stop"),
        ("generation_config.maxOutputTokens must be positive", "max_tokens"),
        ("the temperatures of this furnace are wrong", None),
        ("image too small", None),
        ("nonstop_p", None),
    ],
)
def test_which_parameter_an_error_is_about(message, name):
    found = responses.read_error(400, {"error": {"message": message}}, SENT)
    assert found == (Refusal("parameter", message, name) if name else Refusal("item", message))


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 4352 (4096 in the messages, 256 in "
        "max_tokens).",
        "input length and `max_tokens` exceed context limit: the context window is 200000",
    ],
)
def test_one_question_that_is_too_long_takes_no_parameter_from_the_others(message):
    assert responses.read_error(400, {"error": {"message": message}}, SENT) == Refusal("item", message)


def test_a_parameter_that_was_not_sent_is_not_refused():
    assert responses.read_error(400, {"error": {"message": "temperature is bad"}}, ("top_p",)).kind == "item"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"object": "error", "message": "temperature must be 1", "code": 400}, "temperature must be 1"),
        ({"detail": "temperature must be 1"}, "temperature must be 1"),
        (
            {"detail": [{"loc": ["body", "temperature"], "msg": "bad"}]},
            "[{'loc': ['body', 'temperature'], 'msg': 'bad'}]",
        ),
    ],
)
def test_errors_in_the_forms_of_vllm_and_fastapi(raw, message):
    assert responses.read_error(400, raw, ("temperature",)) == Refusal("parameter", message, "temperature")


def test_a_long_complaint_is_cut():
    assert len(responses.read_error(400, {"error": {"message": "x" * 10_000}}, ()).message) == 500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
)


@given(
    st.integers(300, 599),
    st.dictionaries(st.sampled_from(["error", "message", "detail", "code"]), JSON),
    st.sets(st.sampled_from(SENT)),
)
def test_no_error_body_breaks_the_reader(status, raw, sent):
    found = responses.read_error(status, raw, sorted(sent))
    assert found.message
    assert found.parameter is None or found.parameter in sent
