"""What replies cost: stated prices, the price list, and what nobody knows."""

import pytest

from finetune.baseline import prices
from finetune.baseline.policy import Policy, Prices
from finetune.config.schema import BaselineConfig
from finetune.errors import EgressError


def any_llm(model):
    return BaselineConfig("any_llm", model=model)


def server(url, model="m"):
    return BaselineConfig("openai_compatible", model=model, base_url=url)


@pytest.mark.parametrize(
    ("baseline", "provider", "model"),
    [
        (any_llm("openai/gpt-4o"), "openai", "gpt-4o"),
        (any_llm("together/meta-llama/Llama-4"), "together", "meta-llama/Llama-4"),
        (server("https://api.openai.com/v1", "gpt-4o"), "api.openai.com", "gpt-4o"),
        (server("http://localhost:8000/v1", "org/model"), "localhost", "org/model"),
        (BaselineConfig("any_llm"), "", ""),
        (BaselineConfig("openai_compatible"), "", ""),
    ],
)
def test_provider_and_model(baseline, provider, model):
    assert (prices.provider(baseline), prices.model(baseline)) == (provider, model)


@pytest.mark.parametrize(
    ("given", "tokens", "expected"),
    [
        (Prices(2.0, 8.0), (1_000_000, 0), 2.0),
        (Prices(2.0, 8.0), (0, 1_000_000), 8.0),
        (Prices(2.0, 8.0), (1500, 250), 0.005),  # 0.003 + 0.002
        (Prices(0.0, 0.0), (1500, 250), 0.0),
        (Prices(2.0, 8.0), (None, 250), None),
        (Prices(2.0, 8.0), (1500, None), None),
        (None, (None, None), None),
    ],
)
def test_stated_prices(given, tokens, expected):
    found = prices.cost(server("http://localhost/v1"), given, *tokens)
    assert found == (None if expected is None else pytest.approx(expected))


def test_the_price_list_knows_the_three_providers_and_no_own_server():
    """gpt-4o: 2.50 in, 10.00 out a million, as its maker listed it."""
    assert prices.cost(any_llm("openai/gpt-4o"), None, 1_000_000, 100_000) == pytest.approx(3.5)
    assert prices.cost(server("https://api.openai.com/v1", "gpt-4o"), None, 1_000_000, 100_000) == pytest.approx(3.5)
    assert prices.cost(any_llm("gemini/gemini-2.5-flash"), None, 1000, 1000) > 0
    assert prices.cost(any_llm("anthropic/claude-sonnet-4-5"), None, 1000, 1000) > 0
    assert prices.cost(server("http://localhost:8000/v1", "gpt-4o"), None, 1, 1) is None
    assert prices.cost(any_llm("openai/no-such-model"), None, 1, 1) is None
    assert prices.cost(any_llm("nobody/gpt-4o"), None, 1, 1) is None


def test_stated_prices_go_before_the_list():
    assert prices.cost(any_llm("openai/gpt-4o"), Prices(1.0, 1.0), 1_000_000, 0) == 1.0


def permitted(max_cost, given=None):
    return Policy("http://localhost", "d", ("image", "question"), 1, max_cost, "2999-01-01", "a", given)


def test_a_maximum_needs_a_price():
    local = server("http://localhost/v1")
    prices.check_metered(local, permitted("unmetered"))
    prices.check_metered(local, permitted(3.0, Prices(1.0, 1.0)))
    prices.check_metered(any_llm("openai/gpt-4o"), permitted(3.0))
    with pytest.raises(EgressError, match="sets max_cost: 3, but the price of m at http://localhost is not known"):
        prices.check_metered(local, permitted(3.0))
    with pytest.raises(EgressError, match="sets max_cost: 0, "):
        prices.check_metered(local, permitted(0.0))


@pytest.mark.parametrize(
    ("baseline", "size", "expected"),
    [
        (any_llm("openai/gpt-4o"), (512, 512), 255),  # 85 + 170
        (any_llm("openai/gpt-4o"), (513, 512), 425),  # 85 + 2 x 170
        (any_llm("openai/gpt-4o"), (1024, 1024), 765),  # 85 + 4 x 170
        (server("https://api.openai.com/v1"), (1, 1), 255),
        (any_llm("gemini/g"), (768, 768), 258),
        (any_llm("google/g"), (769, 769), 1032),  # 4 x 258
        (any_llm("anthropic/c"), (750, 1000), 1000),
        (any_llm("anthropic/c"), (1, 1), 1),
        (server("https://api.anthropic.com/v1"), (750, 2), 2),
        (any_llm("mistral/p"), (512, 512), None),
        (server("http://localhost:8000/v1"), (512, 512), None),
    ],
)
def test_tokens_of_a_picture(baseline, size, expected):
    assert prices.picture_tokens(baseline, size) == expected
