"""The SDKs, told to send once: their retries are off, their connection is our wire."""

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from finetune.baseline import prices
from finetune.baseline.prompts import Request
from finetune.config.schema import BaselineConfig
from finetune.errors import ConfigError

if TYPE_CHECKING:  # the extra [api] may not be installed
    from finetune.baseline.transport import Wire

Send = Callable[[Request], Awaitable[object]]

_NEWER_NAME = "max_completion_tokens"


def secret(baseline: BaselineConfig) -> str | None:
    """The key, from the environment variable that `baseline.api_key_env` names; None where none is named.

    Raises:
        ConfigError: the variable is not set or holds what no header can, or any_llm is given none.
    """
    name = baseline.api_key_env
    if name is None:
        if baseline.kind == "any_llm":
            raise ConfigError(
                "baseline=any_llm needs baseline.api_key_env: the NAME of the variable that holds the key."
            )
        return None
    key = os.environ.get(name, "").strip()  # files of secrets end in a line break
    if not key:
        raise ConfigError(f"baseline.api_key_env: the environment variable {name} is not set or empty.")
    if not (key.isascii() and key.isprintable()) or " " in key:  # the error of a library would show it
        raise ConfigError(f"baseline.api_key_env: {name} holds characters that no key has, such as a space.")
    return key


def connect(
    baseline: BaselineConfig, key: str | None, endpoint: str, on_send: Callable[[str, bytes], None]
) -> "tuple[Wire, Send]":
    """Opens a session with the SDK of the chosen kind, on a wire to `endpoint`; no socket yet.

    Raises:
        ConfigError: the extra is not installed, or the provider cannot be driven through our wire.
    """
    try:
        from finetune.baseline.transport import Wire

        wire = Wire(endpoint, on_send, key)
        return wire, _STARTS[baseline.kind](baseline, key, wire.client(baseline.timeout_s))
    except ImportError as error:
        raise ConfigError(
            f"baseline={baseline.kind} needs the extra [api] ({error}): pip install 'onsite-vlm[api]'."
        ) from error


def _openai_compatible(baseline: BaselineConfig, key: str | None, client: Any) -> Send:
    from openai import AsyncOpenAI

    sdk = AsyncOpenAI(
        api_key=key or "none",
        base_url=baseline.base_url,
        max_retries=0,
        timeout=baseline.timeout_s,
        http_client=client,
    )

    async def send(request: Request) -> object:
        messages: Any = request.messages()
        return await sdk.chat.completions.create(model=request.model, messages=messages, extra_body=request.options)

    return send


def _any_llm(baseline: BaselineConfig, key: str | None, client: Any) -> Send:
    from any_llm import AnyLLM

    provider = prices.provider(baseline)
    if provider == "gemini":
        from google.genai import types

        options = types.HttpOptions(httpx_async_client=client)
        opened: dict[str, Any] = {"http_options": options}
    else:
        opened = {"http_client": client}
    try:
        sdk = AnyLLM.create(provider, api_key=key, api_base=baseline.base_url, max_retries=0, **opened)
    except ImportError:
        raise
    except Exception as error:  # any_llm and the SDKs below it each have a tree of their own
        raise ConfigError(
            f"baseline.model: any-llm cannot open {provider!r} through our connection ({type(error).__name__}: "
            f"{error}). openai, anthropic, gemini and providers on OpenAI's protocol can be."
        ) from error

    async def send(request: Request) -> object:
        messages: Any = request.messages()
        return await sdk.acompletion(model=request.model, messages=messages, **request.options)

    return send


_STARTS: dict[str, Callable[[BaselineConfig, str | None, Any], Send]] = {
    "openai_compatible": _openai_compatible,
    "any_llm": _any_llm,
}


def without(options: dict[str, Any], refused: str) -> dict[str, Any]:
    """The options without one that the server will not take; the length limit is said by its newer name instead."""
    kept = {name: value for name, value in options.items() if name != refused}
    if refused == "max_tokens":
        kept[_NEWER_NAME] = options[refused]
    return kept
