"""Pretraining: labels by hand, packing worth the same as separate rows, a stopped run continues bit for bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Idefics3Processor

from finetune.embedded.language_phase import (
    PackedQuestions,
    answer_loss,
    attention_bias,
    prefix_ids,
    question_ids,
    stack,
)
from finetune.embedded.pretrain import Plan, new_heads, new_model, train_joint, train_language, train_place, train_tower
from finetune.embedded.questions import Question, draw_questions
from finetune.embedded.surfaces import KINDS, Instance, Surface, make_surface
from finetune.embedded.tower import IGNORE, dense_labels, new_place_head, pixel_tensor, place_labels
from finetune.embedded.training_loop import MasterWeights, Schedule

MICRO = Plan(
    tower_images=16,
    language_images=4,
    place_images=4,
    answers_images=4,
    joint_images=4,
    tower_batch=4,
    language_batch=2,
    processes=1,
    vision_layers=1,
    probe_images=4,
)


def test_dense_labels_by_hand() -> None:
    mask = np.zeros((128, 128), np.uint8)
    hole = KINDS.index("hole")
    mask[0:8, 8:16] = hole  # patch (0, 1) in full
    mask[8, 0:3] = hole  # three pixels of patch (1, 0): too few to teach, too many to call clean
    surface = Surface(0, np.zeros((128, 128, 3), np.uint8), mask, "wood", "hole", (Instance(10, 4, 67),))
    labels = dense_labels(surface)
    patches = labels["patch_kind"].reshape(16, 16)
    assert patches[0, 1] == hole
    assert patches[1, 0] == IGNORE
    assert int((patches == 0).sum()) == 254
    assert labels["position"] == 0
    assert labels["count"] == 1
    assert labels["kind"] == hole


def test_place_labels_by_hand() -> None:
    kinds = torch.zeros(1, 256, dtype=torch.int64)
    kinds[0, 0] = 3  # top left
    kinds[0, 16 * 8 + 5] = 1  # row 8 of 16 is the middle; column 5 spans 40 to 48, its middle is beyond 42.67
    kinds[0, 255] = 2  # bottom right
    kinds[0, 7] = IGNORE
    places = place_labels(kinds)[0]
    assert [int(places[patch]) for patch in (0, 16 * 8 + 5, 255, 7, 1)] == [1, 5, 9, IGNORE, 0]


def test_schedule_by_hand() -> None:
    schedule = Schedule(steps=110, batch_size=1, learning_rate=1.0, warmup_steps=10)
    assert schedule.rate(0) == pytest.approx(0.1)
    assert schedule.rate(9) == pytest.approx(1.0)
    assert schedule.rate(60) == pytest.approx(0.505)  # half-way down the cosine from 1 to 0.01
    assert schedule.rate(110) == pytest.approx(0.01)


def test_master_weights_move_what_bf16_would_round_away() -> None:
    layer = torch.nn.Linear(1, 1, bias=False).bfloat16()
    with torch.no_grad():
        layer.weight.fill_(1.0)
    weights = MasterWeights({"layer": layer}, weight_decay=0.0)
    for _ in range(3):
        layer(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
        weights.step(1e-3)
    # Adam moves by the rate at each step; 0.999 is not a bf16 number, 1 - 3e-3 rounds to 0.99609375
    assert float(weights.master["layer.weight"].detach()) == pytest.approx(0.997, abs=1e-5)
    assert float(layer.weight.detach()) == 0.99609375


def test_mask_keeps_questions_apart() -> None:
    allowed = attention_bias(torch.tensor([[0, 1, 1, 2, -1]]), torch.float32)[0, 0] == 0
    assert allowed.int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 0, 0, 1, 0],
        [1, 0, 0, 0, 1],
    ]


def test_ids_are_what_the_processor_makes_of_the_chat_template(processor: Idefics3Processor) -> None:
    surface, question = make_surface(3), Question("kind", "Which defect? Options: a, b.", "dark area")
    chat = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question.text}]},
        {"role": "assistant", "content": [{"type": "text", "text": question.answer}]},
    ]
    real = processor(text=processor.apply_chat_template(chat), images=[[surface.image()]], return_tensors="pt")
    asked, answered = question_ids(processor.tokenizer, question)
    ours = prefix_ids(processor.tokenizer) + asked + answered
    assert real["input_ids"][0].tolist()[: len(ours)] == ours
    assert processor.tokenizer.decode(real["input_ids"][0][len(ours) :]) == "\n"
    expected = (pixel_tensor(surface).float() / 255 - 0.5) / 0.5
    assert torch.allclose(real["pixel_values"][0, 0], expected, atol=1e-6)


def test_packed_questions_cost_what_separate_ones_cost(processor: Idefics3Processor) -> None:
    tokenizer = processor.tokenizer
    model = new_model(tokenizer, MICRO).float()
    packed = answer_loss(model, stack([PackedQuestions(5, tokenizer, 3, late=False)[index] for index in (0, 1)]))
    model.set_attn_implementation("sdpa")
    summed, tokens = 0.0, 0
    for seed in (5, 6):
        surface = make_surface(seed)
        pixels = ((pixel_tensor(surface).float() / 255 - 0.5) / 0.5)[None, None]
        for question in draw_questions(surface, np.random.default_rng([seed, 1]), 3):
            asked, answered = question_ids(tokenizer, question)
            prompt = prefix_ids(tokenizer) + asked
            labels = torch.tensor([[IGNORE] * len(prompt) + answered])
            loss = model(input_ids=torch.tensor([prompt + answered]), pixel_values=pixels, labels=labels).loss
            summed, tokens = summed + loss.item() * len(answered), tokens + len(answered)
    assert packed.item() == pytest.approx(summed / tokens, abs=1e-5)


def _losses(plan: Plan, processor: Idefics3Processor, folder: Path) -> tuple[list[list[float]], torch.Tensor]:
    model, heads, place = new_model(processor.tokenizer, plan), new_heads(plan), new_place_head(plan.seed)
    losses = [train_tower(model, heads, plan, folder)]
    if plan.stop_after_steps is None:
        losses.append(train_language(model, processor.tokenizer, plan, folder, late=False))
        losses.append(train_place(model, heads, place, plan, folder))
        losses.append(train_language(model, processor.tokenizer, plan, folder, late=True))
        losses.append(train_joint(model, heads, place, processor.tokenizer, plan, folder))
    return losses, torch.cat([parameter.detach().float().flatten() for parameter in model.parameters()])


@pytest.mark.slow
@pytest.mark.timeout(600)  # bf16 is emulated where the processor has no instructions for it
def test_a_stopped_run_continues_bit_for_bit(processor: Idefics3Processor, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    whole.mkdir()
    stopped.mkdir()
    expected, weights = _losses(MICRO, processor, whole)
    first, _ = _losses(replace(MICRO, stop_after_steps=2), processor, stopped)
    rest, resumed = _losses(MICRO, processor, stopped)
    assert len(expected[0]) == 4
    assert len(first[0]) == 2
    assert len(rest[0]) == 2
    assert first[0] + rest[0] == expected[0]
    assert rest[1:] == expected[1:]
    assert torch.equal(weights, resumed)
    again, same = _losses(MICRO, processor, stopped)
    assert again == [[], [], [], [], []]
    assert torch.equal(weights, same)
    assert (stopped / "log.jsonl").read_text().count("\n") == 5
    assert not list(stopped.glob("*.partial"))
