"""The model in the package: it loads like any other, keeps its promises on size, and sees."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import Idefics3ForConditionalGeneration, Idefics3Processor

from finetune.embedded.evaluate import choose, load, prompt_text
from finetune.embedded.pretrain import PACKAGED
from finetune.embedded.questions import Question
from finetune.embedded.surfaces import make_surface

Loaded = tuple[Idefics3ForConditionalGeneration, Idefics3Processor]


@pytest.fixture(scope="module")
def tiny() -> Loaded:
    return load(PACKAGED)


def test_size(tiny: Loaded) -> None:
    parameters = sum(parameter.numel() for parameter in tiny[0].parameters())
    assert 3_000_000 <= parameters <= 10_000_000
    assert (PACKAGED / "model.safetensors").stat().st_size <= 20_000_000
    assert next(tiny[0].parameters()).dtype == torch.bfloat16


def test_tokenizer_and_processor_are_the_ones_that_the_code_builds(
    processor: Idefics3Processor, tmp_path: Path
) -> None:
    processor.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "chat_template.jinja"):
        assert (tmp_path / name).read_text() == (PACKAGED / name).read_text()


@pytest.mark.parametrize("size", [(200, 37), (37, 200), (300, 300), (4000, 3000), (1, 1)])
def test_any_picture_becomes_sixteen_tokens(tiny: Loaded, size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (90, 120, 150))
    batch = tiny[1](text=prompt_text(tiny[1], "Is there a defect?"), images=[[image]], return_tensors="pt")
    assert batch["pixel_values"].shape == (1, 1, 3, 128, 128)
    assert int((batch["input_ids"] == tiny[0].config.image_token_id).sum()) == 16


def test_the_picture_changes_the_answer(tiny: Loaded) -> None:
    model, processor = tiny
    text = prompt_text(processor, "What material is this?")
    logits = []
    for seed in (1, 2):
        batch = processor(text=text, images=[[make_surface(seed).image()]], return_tensors="pt")
        batch["pixel_values"] = batch["pixel_values"].to(model.dtype)
        with torch.no_grad():
            logits.append(model(**batch).logits[0, -1].float())
    assert float((logits[0] - logits[1]).abs().max()) > 0.5


@pytest.mark.slow
def test_it_sees_defects(tiny: Loaded) -> None:
    """48 fresh pictures, half of them clean: blind guessing stays below 33 right with p = 0.99."""
    clean, marked, seed = [], [], 9 * 10**12
    while len(clean) < 24 or len(marked) < 24:
        surface = make_surface(seed)
        seed += 1
        (marked if surface.instances else clean).append(surface)
    balanced = clean[:24] + marked[:24]
    labels = ("yes", "no")
    asked = [
        (surface, Question("present", "Is there a defect?", "yes" if surface.instances else "no", labels))
        for surface in balanced
    ]
    answers = choose(*tiny, asked)
    assert sum(answer == question.answer for answer, (_, question) in zip(answers, asked, strict=True)) >= 34


def test_generation_stops_by_itself(tiny: Loaded) -> None:
    model, processor = tiny
    batch = processor(
        text=prompt_text(processor, "Where is the defect?"), images=[[make_surface(8).image()]], return_tensors="pt"
    )
    batch["pixel_values"] = batch["pixel_values"].to(model.dtype)
    out = model.generate(**batch, max_new_tokens=20, do_sample=False)
    assert out[0, -1] == processor.tokenizer.eos_token_id
    assert out.shape[1] - batch["input_ids"].shape[1] < 8


def test_card_and_figures_agree_and_hold_what_they_promise() -> None:
    figures = json.loads((PACKAGED / "figures.json").read_text())
    card = (PACKAGED / "README.md").read_text()
    skills = figures["skills"]
    assert skills["kind"]["generated"] >= 0.70
    assert skills["position"]["generated"] >= 0.65
    assert skills["yes_no"]["generated"] >= 0.85
    assert figures["images"] >= 1_000
    for skill in skills.values():
        assert f"| {skill['n']} | {skill['majority']:.2f} | {skill['generated']:.2f} |" in card
    assert "Real work takes a real base model" in card
    assert "license: apache-2.0" in card


_WITHOUT_TORCHVISION = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.split(".")[0] == "torchvision" else find(name, *rest)
sys.modules["torchvision"] = None
from PIL import Image
from transformers import AutoProcessor
processor = AutoProcessor.from_pretrained(sys.argv[1], local_files_only=True)
batch = processor(text="<image>", images=[[Image.new("RGB", (200, 37))]], return_tensors="pt")
print(type(processor.image_processor).__name__, tuple(batch["pixel_values"].shape))
"""


def test_processor_loads_without_torchvision() -> None:
    """In a process of its own: whether torchvision is there is decided when transformers is imported."""
    command = [sys.executable, "-c", _WITHOUT_TORCHVISION, str(PACKAGED)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.split("\n")[0] == "Idefics3ImageProcessorPil (1, 1, 3, 128, 128)", done.stderr
