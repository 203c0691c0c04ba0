from types import SimpleNamespace

import pytest
import torch
from training import micro

from finetune.models.encoding import Encoder
from finetune.training.loss import answer_loss, count_labels


@pytest.fixture
def encoder(loaded):
    return Encoder(loaded.processor, loaded.family)


def batch_of(encoder, *numbers):
    targets = ["no", "scratch and dent", "yes", "no"]
    examples = [micro.example(number, targets[number], images=number != 2) for number in numbers]
    return encoder.supervised(examples, [[micro.picture(number)] * (number != 2) for number in numbers])


def test_equals_the_library_loss_over_the_answer_tokens(loaded, encoder):
    batch = batch_of(encoder, 0, 1, 2)
    tokens = count_labels([batch])
    with torch.no_grad():
        expected = loaded.model(**batch).loss  # mean over all labelled tokens, from logits at every position
        assert answer_loss(loaded.model, batch, tokens).item() == pytest.approx(expected.item(), rel=1e-5)


def test_counts_answers_with_their_end_tokens(encoder):
    batch = batch_of(encoder, 0)
    assert count_labels([batch, batch]) == 2 * len(encoder.answer_ids(micro.example(0, "no"), "no"))


def test_the_head_runs_at_label_positions_alone(encoder):
    batch = batch_of(encoder, 0, 1)
    kept = []

    def model(**inputs):
        kept.append(inputs["logits_to_keep"])
        assert "labels" not in inputs
        return SimpleNamespace(logits=torch.zeros(2, len(inputs["logits_to_keep"]), 500))

    loss = answer_loss(model, batch, count_labels([batch]))
    columns = sorted({column - 1 for _, column in (batch["labels"] != -100).nonzero().tolist()})
    assert kept[0].tolist() == columns
    assert loss.item() == pytest.approx(torch.log(torch.tensor(500.0)).item())  # uniform over 500 tokens


def test_a_head_that_runs_everywhere_gives_the_same_loss(loaded, encoder):
    batch = batch_of(encoder, 0, 1)

    def everywhere(logits_to_keep, **inputs):
        return loaded.model(**inputs)

    with torch.no_grad():
        assert answer_loss(everywhere, batch, 3).item() == pytest.approx(answer_loss(loaded.model, batch, 3).item())


def test_four_batches_of_one_are_one_batch_of_four(loaded, encoder):
    loaded.model.requires_grad_(True)
    gradients = []
    for split in ([[0, 1, 2, 3]], [[0], [1], [2], [3]]):
        loaded.model.zero_grad()
        batches = [batch_of(encoder, *numbers) for numbers in split]
        tokens = count_labels(batches)
        for batch in batches:
            answer_loss(loaded.model, batch, tokens).backward()
        gradients.append([p.grad.clone() for p in loaded.model.parameters() if p.grad is not None])
    assert len(gradients[0]) > 20
    for together, accumulated in zip(*gradients, strict=True):
        torch.testing.assert_close(accumulated, together, rtol=1e-3, atol=1e-5)


def test_features_of_a_frozen_tower_give_the_same_loss(loaded, encoder):
    """The seam for cached features: a batch may carry them in place of the pixels."""
    batch = batch_of(encoder, 0, 1)
    with torch.no_grad():
        live = answer_loss(loaded.model, batch, 1)
        pixels = {name: batch.pop(name) for name in ("pixel_values", "pixel_attention_mask")}
        features = loaded.model.get_image_features(**pixels, return_dict=True)
        cached = answer_loss(loaded.model, {**batch, "mm_encoder_outputs": {"image": features}}, 1)
    assert live.item() == cached.item()
