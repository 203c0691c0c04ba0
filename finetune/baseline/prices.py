"""What replies cost, from the price list of `genai-prices`. A price that nobody knows stays unknown."""

import math
from urllib.parse import urlsplit

from finetune.baseline.policy import Policy, Prices
from finetune.config.schema import BaselineConfig
from finetune.errors import EgressError

_TILE_PX = {"openai": 512, "gemini": 768, "google": 768}


def provider(baseline: BaselineConfig) -> str:
    """The provider that `baseline.model` names (any_llm), or the host of the endpoint."""
    if baseline.kind == "any_llm":
        return (baseline.model or "").partition("/")[0]
    return urlsplit(baseline.base_url or "").hostname or ""


def model(baseline: BaselineConfig) -> str:
    """The model's id as it is sent."""
    name = baseline.model or ""
    return name.partition("/")[2] if baseline.kind == "any_llm" else name


def cost(
    baseline: BaselineConfig, given: Prices | None, input_tokens: int | None, output_tokens: int | None
) -> float | None:
    """What so many tokens cost in US dollars (`given` prices in their own currency), or None where nobody knows."""
    if input_tokens is None or output_tokens is None:
        return None
    if given is not None:
        return (input_tokens * given.input_per_million + output_tokens * given.output_per_million) / 1e6
    from genai_prices import Usage, calc_price

    where = (
        {"provider_id": {"gemini": "google"}.get(provider(baseline), provider(baseline))}
        if baseline.kind == "any_llm"
        else {"provider_api_url": baseline.base_url}
    )
    try:
        found = calc_price(Usage(input_tokens=input_tokens, output_tokens=output_tokens), model(baseline), **where)
    except LookupError:
        return None
    return float(found.total_price)


def check_metered(baseline: BaselineConfig, policy: Policy) -> None:
    """A maximum cost is kept only where costs are known.

    Raises:
        EgressError: the policy sets one, and nobody knows the price.
    """
    if policy.max_cost != "unmetered" and cost(baseline, policy.prices, 1, 1) is None:
        raise EgressError(
            f"the policy sets max_cost: {policy.max_cost:g}, but the price of {baseline.model} at {policy.endpoint} is "
            "not known. State prices: {input_per_million: ..., output_per_million: ...} in the policy, or "
            "max_cost: unmetered where tokens are not billed. Nothing was sent."
        )


def picture_tokens(baseline: BaselineConfig, size: tuple[int, int]) -> int | None:
    """Tokens of a picture by the provider's published rule of thumb, for an estimate; None where there is none.

    OpenAI: 85 + 170 a tile of 512 px; Gemini: 258 a tile of 768 px; Anthropic: width x height / 750.
    """
    name, (width, height) = provider(baseline).removeprefix("api.").removesuffix(".com"), size
    if name == "anthropic":
        return math.ceil(width * height / 750)
    if name not in _TILE_PX:
        return None
    tiles = math.ceil(width / _TILE_PX[name]) * math.ceil(height / _TILE_PX[name])
    return 85 + 170 * tiles if name == "openai" else 258 * tiles
