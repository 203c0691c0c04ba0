"""Scoring and generation from a shared prefix against plain full forward passes of a tiny random Llama."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from finetune.models import decoding

PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12, 13, 14], [15, 16, 17, 18, 19]]
LABELS = [[20, 1], [20, 21, 1], [22, 23, 24, 25, 1], [26]]


@pytest.fixture(scope="module")
def model() -> Iterator[LlamaForCausalLM]:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.4,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    with torch.no_grad():
        yield LlamaForCausalLM(config).eval()


def padded(prompts: list[list[int]], extra: int = 0) -> dict[str, Tensor]:
    width = max(map(len, prompts)) + extra
    ids = [[0] * (width - len(p)) + p for p in prompts]
    mask = [[0] * (width - len(p)) + [1] * len(p) for p in prompts]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


def full_forward(model: LlamaForCausalLM, prompt: list[int], answer: list[int]) -> float:
    """The definition: one unpadded forward over prompt and answer, the answer's log-probabilities added up."""
    logits = model(input_ids=torch.tensor([prompt + answer])).logits[0].double().log_softmax(-1)
    return sum(logits[len(prompt) - 1 + i, token].item() for i, token in enumerate(answer))


@pytest.mark.parametrize("cached_tokens", [2**16, 2 * 3 * 7, 1])
def test_scores_equal_full_forward(
    model: LlamaForCausalLM, cached_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "CACHED_TOKENS", cached_tokens)
    prefix = decoding.prefill(model, padded(PROMPTS))
    scores = decoding.continuation_scores(model, prefix, [LABELS] * len(PROMPTS))
    expected = torch.tensor([[full_forward(model, p, a) for a in LABELS] for p in PROMPTS])
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=0)


def test_the_repeated_cache_is_bounded_by_its_tokens(model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts are padded to seven tokens: seven rows make 49 cached tokens, eight would make 56."""
    monkeypatch.setattr(decoding, "CACHED_TOKENS", 50)
    seen = []
    inner = decoding._score_rows
    monkeypatch.setattr(decoding, "_score_rows", lambda m, p, rows: (seen.append(len(rows)), inner(m, p, rows))[1])
    decoding.continuation_scores(model, decoding.prefill(model, padded(PROMPTS)), [LABELS] * 3)
    assert seen == [7, 5]


def test_examples_may_have_different_numbers_of_answers(model: LlamaForCausalLM) -> None:
    answers: list[list[list[int]]] = [[[20, 1], [21, 22, 1], [30]], [], [[33, 1]]]
    scores = decoding.continuation_scores(model, decoding.prefill(model, padded(PROMPTS)), answers)
    assert torch.isinf(scores).tolist() == [[False] * 3, [True] * 3, [False, True, True]]
    expected = [full_forward(model, PROMPTS[0], answer) for answer in answers[0]]
    torch.testing.assert_close(scores[0], torch.tensor(expected), atol=1e-4, rtol=0)
    assert scores[2, 0].item() == pytest.approx(full_forward(model, PROMPTS[2], [33, 1]), abs=1e-4)


def test_answers_may_differ_between_examples(model: LlamaForCausalLM) -> None:
    answers = [[[20, 1], [21, 1]], [[30, 31, 1], [32]], [[33], [34]]]
    scores = decoding.continuation_scores(model, decoding.prefill(model, padded(PROMPTS)), answers)
    expected = torch.tensor([[full_forward(model, p, a) for a in row] for p, row in zip(PROMPTS, answers, strict=True)])
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=0)


def test_padding_changes_nothing(model: LlamaForCausalLM) -> None:
    alone = [decoding.continuation_scores(model, decoding.prefill(model, padded([p])), [LABELS]) for p in PROMPTS]
    wide = decoding.prefill(model, padded(PROMPTS, extra=9))
    torch.testing.assert_close(
        decoding.continuation_scores(model, wide, [LABELS] * 3), torch.cat(alone), atol=1e-5, rtol=0
    )


def test_greedy_equals_transformers_generate(model: LlamaForCausalLM) -> None:
    """`generate`, one unpadded prompt at a time, is the independent reference."""
    written = decoding.greedy(model, decoding.prefill(model, padded(PROMPTS)), {1}, 12)
    for prompt, (ids, ended) in zip(PROMPTS, written, strict=True):
        ids_in = torch.tensor([prompt])
        out = model.generate(
            input_ids=ids_in, attention_mask=torch.ones_like(ids_in), max_new_tokens=12, do_sample=False
        )
        expected = out[0, len(prompt) :].tolist()
        assert ids == (expected[: expected.index(1)] if 1 in expected else expected)
        assert ended == (1 in expected)


def test_greedy_stops_at_any_end_token_and_at_the_limit(model: LlamaForCausalLM) -> None:
    prefix = decoding.prefill(model, padded(PROMPTS))
    free = [ids for ids, _ in decoding.greedy(model, prefix, {39}, 6)]
    assert [len(ids) for ids in free] == [6, 6, 6]
    end = free[0][2]
    cut = decoding.greedy(model, prefix, {39, end}, 6)
    assert cut[0] == (free[0][: free[0].index(end)], True)
    assert decoding.greedy(model, prefix, {39}, 1) == [(ids[:1], False) for ids in free]


def test_the_prefix_is_not_used_up(model: LlamaForCausalLM) -> None:
    """Scoring and generation share one prefill in any order."""
    prefix = decoding.prefill(model, padded(PROMPTS))
    first = decoding.continuation_scores(model, prefix, [LABELS] * 3)
    decoding.greedy(model, prefix, {1}, 5)
    assert torch.equal(first, decoding.continuation_scores(model, prefix, [LABELS] * 3))
