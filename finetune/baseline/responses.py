"""What a provider's JSON says: the text, or why there is none. OpenAI, Anthropic and Gemini shapes.

Read from the wire rather than from an SDK's objects, which lose a refusal or a filter on the way.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from finetune.example import Outcome
from finetune.rundir import Json

_OPENAI: dict[str, Outcome] = {"length": "truncated", "content_filter": "filtered"}
_ANTHROPIC: dict[str, Outcome] = {
    "refusal": "refused",
    "max_tokens": "truncated",
    "model_context_window_exceeded": "truncated",
}
_GEMINI: dict[str, Outcome] = {
    "MAX_TOKENS": "truncated",
    **dict.fromkeys(("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"), "filtered"),
}
_FILTER_CODES = ("content_filter", "content_policy_violation", "responsibleaipolicyviolation")
_QUOTA_CODES = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
_TOO_LONG = ("context_length_exceeded", "context length", "context window")
_KEY_WORDS = ("api_key_invalid", "api key not valid", "invalid x-api-key", "invalid_api_key")

ALIASES = {
    "max_tokens": ("max_tokens", "max_completion_tokens", "maxoutputtokens", "max_output_tokens"),
    "response_format": (
        *("response_format", "json_schema", "output_config", "output_format", "structured output"),
        *("responsejsonschema", "response_json_schema", "response_schema", "responseschema"),
    ),
    "stop": ("stop", "stop_sequences", "stopsequences"),
}
"""A parameter of ours -> what it is called on the wire or in a complaint."""


@dataclass(frozen=True)
class Reply:
    """One reply.

    Attributes:
        text: what it says; "" where nothing was said.
        withheld: refused, filtered or truncated; None where the text is the whole answer.
        detail: the provider's own word for how it ended.
        model: id that the reply names, or None.
        input_tokens, output_tokens: as billed, or None.
    """

    text: str
    withheld: Outcome | None
    detail: str
    model: str | None
    input_tokens: int | None
    output_tokens: int | None


Kind = Literal["retry", "key", "quota", "filtered", "parameter", "item", "stop"]


@dataclass(frozen=True)
class Refusal:
    """An error status: what to do about it, and the provider's words; `parameter` is the one it will not take."""

    kind: Kind
    message: str
    parameter: str | None = None


def read(raw: Json) -> Reply:
    """Reads a reply of any of the three shapes.

    Raises:
        KeyError, TypeError, IndexError, ValueError: it is none of them.
    """
    if "choices" in raw:
        return _openai(raw)
    if raw.get("type") == "message":
        return _anthropic(raw)
    if "candidates" in raw or "promptFeedback" in raw:
        return _gemini(raw)
    raise ValueError(f"neither choices nor content nor candidates in it, but {', '.join(sorted(raw)) or 'nothing'}")


def _openai(raw: Json) -> Reply:
    choice = raw["choices"][0]
    message, detail = choice["message"], choice.get("finish_reason") or ""
    declined, content = message.get("refusal"), message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content)
    usage = raw.get("usage") or {}
    return Reply(
        text=declined or content,
        withheld="refused" if declined else _OPENAI.get(detail),
        detail="refusal" if declined else detail,
        model=_model(raw.get("model")),
        input_tokens=_tokens(usage.get("prompt_tokens")),
        output_tokens=_tokens(usage.get("completion_tokens")),
    )


def _anthropic(raw: Json) -> Reply:
    detail, usage = raw.get("stop_reason") or "", raw.get("usage") or {}
    return Reply(
        text="".join(block["text"] for block in raw["content"] if block["type"] == "text"),
        withheld=_ANTHROPIC.get(detail),
        detail=detail,
        model=_model(raw.get("model")),
        input_tokens=_tokens(usage.get("input_tokens")),
        output_tokens=_tokens(usage.get("output_tokens")),
    )


def _gemini(raw: Json) -> Reply:
    usage, candidates = raw.get("usageMetadata") or {}, raw.get("candidates") or []
    blocked = (raw.get("promptFeedback") or {}).get("blockReason")
    detail = blocked or (candidates[0].get("finishReason") or "" if candidates else "no candidate")
    parts = (candidates[0].get("content") or {}).get("parts") or [] if candidates else []
    counts = [_tokens(usage.get(name)) for name in ("candidatesTokenCount", "thoughtsTokenCount")]  # both are billed
    known = [count for count in counts if count is not None]
    return Reply(
        text="".join(part.get("text", "") for part in parts if not part.get("thought")),
        withheld="filtered" if blocked else _GEMINI.get(detail),
        detail=detail,
        model=_model(raw.get("modelVersion")),
        input_tokens=_tokens(usage.get("promptTokenCount")),
        output_tokens=sum(known) if known else None,
    )


def _tokens(value: object) -> int | None:
    """A count of tokens, or None where a server says anything else."""
    return value if type(value) is int and value >= 0 else None


def _model(value: object) -> str | None:
    return value if isinstance(value, str) else None


def read_error(status: int, raw: Json | None, sent: Iterable[str]) -> Refusal:
    """Reads an error status.

    Args:
        status: HTTP status, 300 or more.
        raw: the body, where it is a JSON object.
        sent: names of the optional parameters that were sent, any of which a 400 may name.
    """
    whole = raw or {}
    error = whole.get("error") or whole  # vLLM has had the fields bare; FastAPI says `detail`
    told = error if isinstance(error, dict) else {"message": str(error)}
    message = str(told.get("message") or told.get("detail") or f"HTTP {status}")[:500]
    folded = str(told).casefold()
    kind: Kind = "item" if status in (400, 413, 422) else "stop"
    if status in (401, 403) or any(word in folded for word in _KEY_WORDS):
        kind = "key"
    elif status == 402 or any(code in folded for code in _QUOTA_CODES):
        kind = "quota"
    elif status in (408, 409, 425, 429) or status >= 500:
        kind = "retry"
    if kind == "item":
        return _of_one_item(message, folded, sent)
    return Refusal(kind, f"{status}: {message}")


def _of_one_item(message: str, folded: str, sent: Iterable[str]) -> Refusal:
    if any(code in folded for code in _FILTER_CODES):
        return Refusal("filtered", message)
    if any(words in folded for words in _TOO_LONG):  # names max_tokens too, which is not what is wrong
        return Refusal("item", message)
    for name in sent:
        if any(re.search(rf"\b{re.escape(alias)}\b", folded) for alias in ALIASES.get(name, (name.casefold(),))):
            return Refusal("parameter", message, name)
    return Refusal("item", message)
