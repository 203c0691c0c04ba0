"""How fast answers come: a shared prefix against a forward pass a label, and batches against one `generate` a time.

Both sides are timed in turn, in the same process, and compared by the CPU time of the process, so that other work on
the machine does not count; the wall-clock ratio is printed beside it. Every ratio comes with the check that both sides
say the same.

    python bench/answers.py [--images 32] [--labels 20] [--rounds 3] [--memory 1000]
"""

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from data_adapters import synthetic
from finetune.config.schema import Config, TaskConfig
from finetune.example import Example, Message
from finetune.images import decode
from finetune.models import load as models
from finetune.models.encoding import IGNORED, Encoder
from finetune.predictors.local import SLACK_TOKENS, LocalPredictor, score_labels

WORDS = (
    *("good", "scratch", "pit", "stain", "crack", "dent", "hole", "burr", "fold", "cut", "bubble", "dust", "rust"),
    *("open circuit", "short circuit", "missing part", "wrong colour", "loose thread", "no defect", "other defect"),
)


def main() -> int:
    """Prints the two ratios and the memory; exit code 1 where the sides differ or a ratio falls short."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32, help="pictures, and examples a forward pass")
    parser.add_argument("--labels", type=int, default=20, help=f"closed answers, at most {len(WORDS)}")
    parser.add_argument("--rounds", type=int, default=3, help="times that each side is timed")
    parser.add_argument("--memory", type=int, default=1000, help="examples of the memory check (0 = none)")
    given = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        root, labels = Path(folder), WORDS[: given.labels]
        loaded = models.load(Config())
        examples = drawn(root, given.images, labels)
        print(f"{torch.__version__=} {torch.get_num_threads()=} images={given.images} labels={len(labels)}")
        first = prefix_against_full(loaded, examples, root, labels, given.rounds)
        second = batch_against_one(loaded, examples, root, labels, given.rounds)
        if given.memory:
            memory(loaded, examples, root, labels, given.memory)
    return 0 if first >= 4 and second >= 8 else 1


def drawn(root: Path, count: int, labels: Sequence[str]) -> list[Example]:
    """Pictures of the made-up inspection line, with a question that lists the labels."""
    (root / "images").mkdir()
    question = f"What is it? Answer with one of: {', '.join(labels)}."
    rows = synthetic.read(None, synthetic.Options(parts=count, views=1), root / "images")
    found = [row for row in rows if isinstance(row, Example)]
    return [replace(row, target=labels[0], messages=(Message("user", question),)) for row in found[:count]]


def timed(sides: Sequence[tuple[str, Callable[[], Any]]], rounds: int) -> tuple[list[Any], list[float]]:
    """Runs the sides in turn, prints median seconds, returns what they gave and the ratios (CPU, wall) of the two."""
    cpu: list[list[float]] = [[] for _ in sides]
    wall: list[list[float]] = [[] for _ in sides]
    results: list[Any] = [None for _ in sides]
    for _ in range(rounds):
        for index, (_, run) in enumerate(sides):
            began, began_wall = time.process_time(), time.perf_counter()
            results[index] = run()
            cpu[index].append(time.process_time() - began)
            wall[index].append(time.perf_counter() - began_wall)
    for (name, _), used, passed in zip(sides, cpu, wall, strict=True):
        print(f"  {name}: {statistics.median(used):.3f} s CPU, {statistics.median(passed):.3f} s wall")
    ratios = [statistics.median(times[0]) / statistics.median(times[1]) for times in (cpu, wall)]
    return results, ratios


def prefix_against_full(
    loaded: models.Loaded, examples: Sequence[Example], root: Path, labels: Sequence[str], rounds: int
) -> float:
    """Scores all labels with one prefill, and with a forward pass over prompt, picture and label for each."""
    encoder = Encoder(loaded.processor, loaded.family)
    images = [[decode.load(root, ref) for ref in example.images] for example in examples]

    def full() -> torch.Tensor:
        columns = []
        for label in labels:
            batch = encoder.supervised([replace(example, target=label) for example in examples], images)
            wanted = batch.pop("labels")[:, 1:]
            with torch.inference_mode():
                logits = loaded.model(**batch).logits[:, :-1].float().log_softmax(-1)
            each = logits.gather(-1, wanted.clamp(min=0).unsqueeze(-1)).squeeze(-1)
            columns.append((each * (wanted != IGNORED)).sum(-1))
        return torch.stack(columns, dim=1)

    def shared() -> torch.Tensor:
        return score_labels(loaded.model, encoder, examples, images, labels)

    print(f"label scores of {len(examples)} images, {len(labels)} labels")
    (plain, fast), (cpu, wall) = timed((("a forward pass a label", full), ("shared prefix", shared)), rounds)
    gap = (plain.softmax(-1) - fast.softmax(-1)).abs().max().item()
    print(f"  ratio {cpu:.1f} (CPU), {wall:.1f} (wall); largest difference of a probability {gap:.1e}")
    return cpu if gap <= 1e-4 else 0.0


def batch_against_one(
    loaded: models.Loaded, examples: Sequence[Example], root: Path, labels: Sequence[str], rounds: int
) -> float:
    """Scores labels in batches, as the stage does, against one `generate` an image; then text against text."""
    predictor = LocalPredictor(loaded, labels, TaskConfig(), len(examples))
    encoder = predictor.encoder
    longest = max(len(encoder.answer_ids(examples[0], label)) for label in labels) + SLACK_TOKENS

    def one_by_one() -> list[str]:
        texts = []
        for example in examples:
            images = [decode.load(root, ref) for ref in example.images]
            batch = encoder.prompts([example], [images])
            with torch.inference_mode():
                ids = loaded.model.generate(**batch, do_sample=False, max_new_tokens=longest)[0]
            texts.append(encoder.tokenizer.decode(ids[batch["input_ids"].shape[1] :], skip_special_tokens=True))
        return texts

    def batched(mode: Any) -> list[str]:
        return [row.text for row in predictor.predict(examples, root, mode, "base")]

    print(f"evaluation of {len(examples)} images, answers of at most {longest} tokens")
    sides = (("generate, one at a time", one_by_one), ("scored in a batch", lambda: batched("score")))
    _, (cpu, wall) = timed(sides, rounds)
    print(f"  ratio {cpu:.1f} (CPU), {wall:.1f} (wall)")
    sides = (("generate, one at a time", one_by_one), ("generated in a batch", lambda: batched("generate")))
    (alone, together), ratios = timed(sides, rounds)
    same = sum(a == b for a, b in zip(alone, together, strict=True))
    print(f"  ratio {ratios[0]:.1f} (CPU), {ratios[1]:.1f} (wall); {same} of {len(alone)} texts equal")
    return cpu


def memory(loaded: models.Loaded, examples: Sequence[Example], root: Path, labels: Sequence[str], count: int) -> None:
    """Peak memory after two batches and after many: nothing but a batch is held."""
    predictor = LocalPredictor(loaded, labels, TaskConfig(), len(examples))
    many = [examples[index % len(examples)] for index in range(count)]
    for index, _ in enumerate(predictor.predict(many, root, "score", "base"), 1):
        if index == 2 * len(examples):
            early = peak_mib()
    print(f"peak memory after {2 * len(examples)} images {early:.0f} MiB, after {count} images {peak_mib():.0f} MiB")


def peak_mib() -> float:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
