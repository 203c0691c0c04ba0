"""The native notation of each family: its marks survive tokenizer and decoding, and it can be trained."""

import copy
from dataclasses import replace

import pytest
import torch
from training import micro

from finetune import plugins
from finetune.families import _base as families
from finetune.models.encoding import Encoder
from finetune.scoring.box_notations import NOTATIONS, Form, Frame
from finetune.scoring.box_text import Placed
from finetune.training.loss import answer_loss

NATIVE = [name for name in plugins.names("family") if families.load(name).boxes]
BOXES = [Placed("dent", (100, 200, 300, 400)), Placed("long scratch", (0, 500, 1000, 1000))]


def form(loaded, name):
    family = families.load(name)
    resized = family.resized(loaded.processor, 400, 800) if family.resized else None
    return Form(NOTATIONS[family.boxes], Frame((400, 800), resized))


@pytest.mark.parametrize("name", NATIVE)
def test_marks_that_are_special_tokens_survive_generation_and_decoding(loaded, name):
    asked = form(loaded, name)
    processor = copy.deepcopy(loaded.processor)
    few = [mark for mark in asked.notation.marks if mark in asked.write(BOXES)]
    processor.tokenizer.add_special_tokens({"additional_special_tokens": few}, replace_extra_special_tokens=False)
    encoder = Encoder(processor, loaded.family, asked.notation.marks)
    text = asked.write(BOXES)
    ids = encoder.answer_ids(micro.example(0), text)
    assert {processor.tokenizer.convert_tokens_to_ids(mark) for mark in few} <= set(ids)
    said = encoder.decode(ids)
    assert asked.read(said) == asked.read(text)
    assert [box.label for box in asked.read(said)] == ["dent", "long scratch"]


@pytest.mark.parametrize("name", NATIVE)
def test_a_step_in_the_native_notation_lowers_the_loss_on_it(load, name):
    loaded, _ = load(name)
    asked = form(loaded, name)
    encoder = Encoder(loaded.processor, loaded.family, asked.notation.marks)
    batch = encoder.supervised([replace(micro.example(0), target=asked.write(BOXES))], [[micro.picture(0)]])
    model, tokens = loaded.model, int((batch["labels"] >= 0).sum())
    model.requires_grad_(True)
    before = answer_loss(model, batch, tokens)
    before.backward()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.grad is not None:
                weight -= 0.01 * weight.grad
        after = answer_loss(model, batch, tokens)
    assert after < before
