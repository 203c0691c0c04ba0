"""A whole evaluation as the product runs it, against one question at a time: three readings of "how much faster".

short      the text of a closed answer (one or two tokens): `generate` an image, or a batch
long       64 tokens of text, forced on both sides: `generate` an image, or a batch
job        what `evaluate` records of base and tuned: the text and the probability of each of 5 labels. One at a time
           that is, for each model and image, one `generate` and a forward pass a label; the stage shares one prompt
           for both modes, and features of the frozen tower for both models

CPU time of one process, both sides in turn, so that other work on the machine does not count; texts must be equal.

    OMP_NUM_THREADS=1 python bench/evaluation.py [--images 32] [--rounds 3]
"""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from answers import WORDS, drawn, timed
from peft import LoraConfig, get_peft_model

from finetune.config.schema import Config, TaskConfig
from finetune.example import Example
from finetune.images import decode
from finetune.models import load as models
from finetune.models.decoding import greedy, prefill
from finetune.models.feature_cache import FeatureCache
from finetune.models.feature_store import Store
from finetune.models.vision_features import Tower
from finetune.predictors.local import LocalPredictor

LONG = 64
LABELS = WORDS[:5]


def main() -> int:
    """Prints the three ratios; exit code 1 where texts differ or the job falls short of 8."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32, help="pictures, and examples a batch")
    parser.add_argument("--rounds", type=int, default=3, help="times that each side is timed")
    given = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        root = Path(folder)
        loaded = models.load(Config())
        examples = drawn(root, given.images, LABELS)
        predictor = LocalPredictor(loaded, LABELS, TaskConfig(labels=LABELS), len(examples))
        print(f"{torch.__version__=} {torch.get_num_threads()=} images={given.images} labels={len(LABELS)}")
        ends = loaded.model.generation_config.eos_token_id
        equal = texts(predictor, examples, root, given.rounds)
        loaded.model.generation_config.eos_token_id = ends
        ratio, same = job(loaded, examples, root, given.rounds)
    return 0 if equal and same and ratio >= 8 else 1


def one(predictor: LocalPredictor, example: Example, root: Path, **lengths: int) -> str:
    """The text of one reply, as the library's documentation writes it."""
    encoder = predictor.encoder
    batch = encoder.prompts([example], [[decode.load(root, ref) for ref in example.images]])
    ids = predictor.model.generate(**batch, do_sample=False, **lengths)[0]
    return encoder.tokenizer.decode(ids[batch["input_ids"].shape[1] :], skip_special_tokens=True)


def texts(predictor: LocalPredictor, examples: Sequence[Example], root: Path, rounds: int) -> bool:
    """Text alone: short answers through the predictor, long ones through its decoding."""
    encoder = predictor.encoder

    def long() -> list[str]:
        images = [[decode.load(root, ref) for ref in example.images] for example in examples]
        rows = greedy(predictor.model, prefill(predictor.model, encoder.prompts(examples, images)), set(), LONG)
        return [encoder.tokenizer.decode(ids, skip_special_tokens=True) for ids, _ in rows]

    print(f"short: closed answers of {len(examples)} images, as text")

    sides = (
        ("generate, one at a time", lambda: [one(predictor, example, root, max_new_tokens=20) for example in examples]),
        ("in a batch", lambda: [row.text for row in predictor.predict(examples, root, "generate", "base")]),
    )
    equal = told(*timed(sides, rounds))[1]
    print(f"long: {LONG} tokens of {len(examples)} images")
    predictor.model.generation_config.eos_token_id = None  # both sides go on where an answer would end
    sides = (
        (
            "generate, one at a time",
            lambda: [one(predictor, example, root, max_new_tokens=LONG) for example in examples],
        ),
        ("in a batch", long),
    )
    return told(*timed(sides, rounds))[1] and equal


def told(results: Sequence[Sequence[str]], ratios: Sequence[float]) -> tuple[float, bool]:
    """Prints ratio and how many texts are equal."""
    same = sum(a == b for a, b in zip(*results, strict=True))
    print(f"  ratio {ratios[0]:.1f} (CPU), {ratios[1]:.1f} (wall); {same} of {len(results[0])} texts equal")
    return ratios[0], same == len(results[0])


def job(loaded: models.Loaded, examples: Sequence[Example], root: Path, rounds: int) -> tuple[float, bool]:
    """Text and probabilities of base and tuned, by either way; the adapter is a random one on the language model."""
    targets = r".*text_model.*(q|k|v|o|gate|up|down)_proj"
    adapter = LoraConfig(r=16, target_modules=targets, init_lora_weights=False)
    tuned = dataclasses.replace(loaded, model=get_peft_model(loaded.model, adapter))
    predictor = LocalPredictor(tuned, LABELS, TaskConfig(labels=LABELS), len(examples))
    encoder, who = predictor.encoder, ("base", "tuned")

    def alone() -> list[str]:
        found = []
        for name in who:
            for example in examples:
                with predictor._state(name):
                    found.append(one(predictor, example, root, max_new_tokens=20))
                    for label in LABELS:
                        images = [[decode.load(root, ref) for ref in example.images]]
                        batch = encoder.supervised([dataclasses.replace(example, target=label)], images)
                        batch.pop("labels")
                        predictor.model(**batch)
        return found

    def stage() -> list[str]:
        with tempfile.TemporaryDirectory() as kept:  # empty each time: base computes the features, tuned reads them
            tower = Tower(tuned, encoder, None)
            predictor.features = FeatureCache(tower, Store(Path(kept), "bench", 1.0, 0o600))
            modes: Any = ("score", "generate")
            return [row[1].text for name in who for row in predictor.predict_modes(examples, root, modes, name)]

    print(f"job: text and {len(LABELS)} probabilities of {len(examples)} images, base and tuned")
    return told(*timed((("one at a time", alone), ("the stage", stage)), rounds))


if __name__ == "__main__":
    sys.exit(main())
