"""Stage 5: what leaves the run: the adapter, merged weights that are proven to answer like it, and the model card."""

import dataclasses
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune import plugins
from finetune.config.schema import Config
from finetune.data import example_files
from finetune.data import source as dataset
from finetune.errors import DataError, IntegrityError
from finetune.example import Example
from finetune.images import decode
from finetune.report import model_card
from finetune.rundir import Json, RunDir, read_jsonl, sha256_file

if TYPE_CHECKING:
    from torch import Tensor

    from finetune.models.load import Loaded

HELD_OUT = 64
"""Test examples, evenly spread over the split, on which merged weights and adapter are compared."""

REFERENCES = 16
"""Texts among which the likeliest is compared where answers are open."""

TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}
"""Largest difference of a logit as a share of the largest logit: rounding stays far below, a wrong merge far above."""


def reads(config: Config, run: RunDir) -> dict[str, Any]:
    """What the result depends on: the adapter, how it is loaded, and the figures on the card."""
    (part,) = run.parts(0)
    files = [*sorted(part.adapter.glob("*")), part.split("test"), run.summary, run.comparison, run.predictions("tuned")]
    return {
        "model": dataclasses.asdict(config.model),
        "method": dataclasses.asdict(config.method),
        "folds": config.data.folds,
        "files": {file.relative_to(run.root).as_posix(): sha256_file(file) for file in files if file.is_file()},
    }


def sources(config: Config) -> dict[str, Any]:
    """Nothing: the base weights are named by the adapter, and checked when it is loaded."""
    return {}


def run(config: Config, run: RunDir) -> list[Path]:
    """Writes export/adapter, export/merged, parity.json and README.md.

    Cross-validation trains one adapter a fold to measure, not to deploy: with `data.folds` nothing is exported.

    Raises:
        DataError: there is no test example to compare on.
        IntegrityError: a weight is not finite, or the merged weights answer otherwise than the adapter; there is no
            export/merged then.
    """
    if config.data.folds:
        print(
            f"export: {config.data.folds} folds trained as many adapters, none of which saw all the data, so there is "
            "nothing to deploy. Run the recipe without data.folds for one adapter.",
            file=sys.stderr,
        )
        return []
    (part,) = run.parts(0)
    merged, partial = run.export / "merged", run.export / ".merged.partial"
    for former in (merged, partial, run.export / "adapter"):
        if former.exists():
            shutil.rmtree(former)
    _publish(run, part.adapter, run.export / "adapter")
    parity = _merge(config, run, partial)
    report = run.write_json(run.export / "parity.json", parity)
    same = parity["answers_equal"] + parity["answers_tied"]
    if parity["max_abs_logit_difference"] > parity["tolerance"] or same < parity["n"]:
        shutil.rmtree(partial)
        raise IntegrityError(
            f"{report}: the merged weights are not the adapter. Logits differ by up to "
            f"{parity['max_abs_logit_difference']:.3g} (tolerance {parity['tolerance']:.3g}), "
            f"{parity['answers_equal']} of {parity['n']} answers are equal, {parity['answers_tied']} more were ties. "
            "They are not published; "
            "deploy export/adapter on its base instead."
        )
    _publish(run, partial, merged)
    shutil.rmtree(partial)
    card = run.write_text(run.export / "README.md", model_card.render(config, run, part, parity))
    files = [
        path for folder in (run.export / "adapter", merged) for path in sorted(folder.rglob("*")) if path.is_file()
    ]
    return [*files, report, card]


def _publish(run: RunDir, source: Path, target: Path) -> None:
    """Copies a folder into the export with the modes of the run."""
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_file():
            run.make(copy.parent)
            shutil.copyfile(path, copy)
            copy.chmod(run.file_mode)


def _merge(config: Config, run: RunDir, folder: Path) -> Json:
    """Merges in fp32 into the unquantised base, writes that to `folder`, loads it again and compares.

    An answer that changed where the adapter's two best answers lie closer than the tolerance is a tie, not a flip: the
    rounding that the tolerance allows may order them either way.

    Returns:
        the content of parity.json.
    """
    from finetune.models import load as models

    examples = _held_out(example_files.read_split(run.parts(0)[0].split("test")))
    labels, root = example_files.labels(run) or _references(examples), dataset.image_root(config, run)
    base = models.load(config, quantise=False)
    adapted = models.attach(dataclasses.replace(base, model=base.model.float()), run.parts(0)[0].adapter)
    expected, scores = _observe(dataclasses.replace(base, model=adapted), config, examples, root, labels)
    with warnings.catch_warnings():  # of a language model that was trained whole, whose tables may have parted
        warnings.filterwarnings("ignore", "Input and output embeddings are no longer tied")
        whole: Any = adapted.merge_and_unload().to(base.dtype)
    _check_finite(whole)
    run.make(folder)
    whole.save_pretrained(folder)
    base.processor.save_pretrained(folder)
    del adapted, whole
    # What was written is judged, not what was in memory; `pixels` must have come along with the processor.
    model = dataclasses.replace(config.model, path=str(folder), pixels=None)
    published = models.load(dataclasses.replace(config, model=model), quantise=False)
    logits, merged_scores = _observe(published, config, examples, root, labels)
    dtype = str(base.dtype).removeprefix("torch.")
    tolerance = TOLERANCE[dtype] * max(1.0, float(expected.abs().max()))
    moved = scores.argmax(-1) != merged_scores.argmax(-1)
    margin = scores.sort(-1, descending=True).values[:, :2].diff(dim=-1).abs().sum(-1)
    answers = [labels[index] for index in merged_scores.argmax(-1).tolist()]
    return {
        "n": len(examples),
        "max_abs_logit_difference": float((logits - expected).abs().max()),
        "tolerance": tolerance,
        "answers_equal": int((~moved).sum()),
        "answers_tied": int((moved & (margin <= tolerance)).sum()),
        "compared": "merged weights as loaded from disk, with adapter on unquantised base in float32; test examples",
        "dtype": dtype,
        "evaluated": _as_evaluated(config, run, examples, answers),
    }


def _held_out(test: Sequence[Example]) -> list[Example]:
    if not test:
        raise DataError("export: the test split is empty, so merged weights cannot be compared with the adapter.")
    step = max(1, len(test) // HELD_OUT)
    return list(test[::step][:HELD_OUT])


def _references(examples: Sequence[Example]) -> tuple[str, ...]:
    """Where answers are open: a few of the right ones, of which every model must find the same likeliest."""
    return tuple(sorted({example.target for example in examples})[:REFERENCES])


def _observe(
    loaded: "Loaded", config: Config, examples: Sequence[Example], root: Path, labels: Sequence[str]
) -> tuple["Tensor", "Tensor"]:
    """Runs examples through a model.

    Returns:
        logits `[supervised tokens of all examples, vocabulary]`, and log-probabilities
        `[examples, labels]`, both float32 on the CPU.
    """
    import torch

    from finetune.models.encoding import IGNORED, Encoder
    from finetune.predictors.local import score_labels

    encoder = Encoder(loaded.processor, loaded.family)
    logits, scores = [], []
    for batch in _batches(examples, config.evaluate.batch_size):
        images = [[decode.load(root, ref) for ref in example.images] for example in batch]
        inputs = {name: tensor.to(loaded.device) for name, tensor in encoder.supervised(batch, images).items()}
        wanted = inputs.pop("labels")[:, 1:] != IGNORED
        kept = wanted.any(dim=0).nonzero().squeeze(-1)  # a vocabulary of logits at every image token would fill memory
        with torch.no_grad():
            logits.append(loaded.model(**inputs, logits_to_keep=kept).logits[wanted[:, kept]].float().cpu())
        scores.append(score_labels(loaded.model, encoder, batch, images, labels, config.task.synonyms))
    return torch.cat(logits), torch.cat(scores)


def _batches(examples: Sequence[Example], size: int) -> Iterator[Sequence[Example]]:
    for start in range(0, len(examples), size):
        yield examples[start : start + size]


def _check_finite(model: Any) -> None:
    broken = [name for name, tensor in model.state_dict().items() if not bool(tensor.isfinite().all())]
    if broken:
        raise IntegrityError(f"export: {len(broken)} merged weights are not finite, the first is {broken[0]}.")


def _as_evaluated(config: Config, run: RunDir, examples: Sequence[Example], answers: Sequence[str]) -> Json | None:
    """How many answers are those that the evaluation recorded; it ran on the quantised base where there is one."""
    file = run.predictions("tuned")
    if not file.exists():
        return None
    recorded = {row["id"]: row["answer"] for row in read_jsonl(file)}
    choices, labels = plugins.load("task", config.task.kind).choices, example_files.labels(run)
    chosen = [  # open answers were written, and cannot be compared with the likeliest of a few
        recorded[example.id] == answer
        for example, answer in zip(examples, answers, strict=True)
        if labels and choices(config.task, labels, example) == labels
    ]
    return {"n": len(chosen), "answers_equal": sum(chosen), "quantise": config.method.quantise}
