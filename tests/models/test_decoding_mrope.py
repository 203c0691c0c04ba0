"""The families with positions on three axes: a tiny random Qwen2.5-VL against its own forward pass and `generate`."""

import pytest
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from finetune.errors import DataError
from finetune.models import decoding

IMAGE, START, END = 30, 31, 32
LABELS = [[20, 1], [21, 22, 1], [23]]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(5)
    text = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    text |= {
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.4,
        "max_position_embeddings": 128,
    }
    text |= {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}}
    vision = {"depth": 2, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32}
    vision |= {"patch_size": 4, "window_size": 16, "fullatt_block_indexes": [1]}
    config = Qwen2_5_VLConfig(
        text_config=text | {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0},
        vision_config=vision,
        image_token_id=IMAGE,
        vision_start_token_id=START,
        vision_end_token_id=END,
    )
    found = Qwen2_5_VLForConditionalGeneration(config).eval()
    found.generation_config.eos_token_id, found.generation_config.pad_token_id = 1, 0
    with torch.no_grad():
        yield found


def prompts():
    """Two pictures of different shape between texts of different length, left padded; grids count patches of 4 px."""
    grids = torch.tensor([[1, 4, 8], [1, 8, 4]])
    texts = [[5, 6, 7, START, *[IMAGE] * 8, END, 8, 9], [10, START, *[IMAGE] * 8, END, 11, 12, 13, 14, 15]]
    width = max(map(len, texts))
    ids = torch.tensor([[0] * (width - len(text)) + text for text in texts])
    pixels = torch.randn(2 * 32, 3 * 2 * 4 * 4, generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids, "attention_mask": (ids != 0).long(), "pixel_values": pixels, "image_grid_thw": grids}
    return batch | {"mm_token_type_ids": (ids == IMAGE).int()}


def alone(batch, row):
    """One prompt of the batch, without padding."""
    own = batch["attention_mask"][row].bool()
    found = {name: batch[name][row : row + 1, own] for name in ("input_ids", "attention_mask", "mm_token_type_ids")}
    return found | {
        "pixel_values": batch["pixel_values"].view(2, 32, -1)[row],
        "image_grid_thw": batch["image_grid_thw"][row : row + 1],
    }


def full_forward(model, prompt, answer):
    """The definition: one forward pass over prompt and answer, for which the model finds its positions by itself."""
    model.model.rope_deltas = None
    ids = torch.cat([prompt["input_ids"], torch.tensor([answer])], dim=1)
    kinds = torch.cat([prompt["mm_token_type_ids"], torch.zeros(1, len(answer), dtype=torch.int)], dim=1)
    more = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": kinds}
    logits = model(**prompt | more).logits[0].double().log_softmax(-1)
    start = prompt["input_ids"].shape[1]
    return sum(logits[start - 1 + index, token].item() for index, token in enumerate(answer))


def test_scores_equal_full_forward(model):
    batch = prompts()
    prefix = decoding.prefill(model, batch)
    assert prefix.axes == 3
    scores = decoding.continuation_scores(model, prefix, [LABELS] * 2)
    expected = [[full_forward(model, alone(batch, row), answer) for answer in LABELS] for row in (0, 1)]
    torch.testing.assert_close(scores, torch.tensor(expected), atol=1e-4, rtol=0)


def test_positions_that_only_count_would_be_wrong(model, monkeypatch):
    """The test above can tell: with the positions of plain text the scores are others."""
    batch = prompts()
    right = decoding.continuation_scores(model, decoding.prefill(model, batch), [LABELS] * 2)
    monkeypatch.setattr(decoding, "_positions", lambda model, inputs: inputs["attention_mask"].cumsum(-1) - 1)
    wrong = decoding.continuation_scores(model, decoding.prefill(model, batch), [LABELS] * 2)
    assert (right - wrong).abs().max() > 1e-2


def test_greedy_equals_transformers_generate(model):
    batch = prompts()
    written = decoding.greedy(model, decoding.prefill(model, batch), {1}, 8)
    for row, (ids, _) in enumerate(written):
        prompt = alone(batch, row)
        model.model.rope_deltas = None
        out = model.generate(**prompt, max_new_tokens=8, do_sample=False)[0, prompt["input_ids"].shape[1] :].tolist()
        assert ids == (out[: out.index(1)] if 1 in out else out)


def test_text_alone(model):
    ids = torch.tensor([[0, 0, 5, 6], [7, 8, 9, 10]])
    prefix = decoding.prefill(model, {"input_ids": ids, "attention_mask": (ids != 0).long()})
    scores = decoding.continuation_scores(model, prefix, [[[20, 1]]] * 2)
    model.model.rope_deltas = None
    logits = model(input_ids=torch.tensor([[5, 6, 20, 1]])).logits[0].log_softmax(-1)
    assert scores[0, 0].item() == pytest.approx((logits[1, 20] + logits[2, 1]).item(), abs=1e-4)


def test_images_that_nobody_can_place(model):
    batch = prompts()
    del batch["mm_token_type_ids"]
    with pytest.raises(DataError, match="an image grid but no mm_token_type_ids"):
        decoding.prefill(model, batch)
