"""Every answer and figure of an evaluation once more, from the texts of its predictions, held against its files."""

import json
import math
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from finetune.config import compared_models
from finetune.config.schema import Config
from finetune.data import example_files
from finetune.evaluation import verdict
from finetune.example import Example, Prediction
from finetune.pipeline.evaluate import test_of
from finetune.regressions import panel as regressions
from finetune.rundir import Json, RunDir, read_json, read_jsonl
from finetune.tasks import Judge

TOLERANCE = 1e-8
"""Absolute; another processor sums in another order."""

LOOSE = dict.fromkeys(("brier", "log_loss", "ece", "confidence"), 1e-4)
LOOSE |= dict.fromkeys(("temperature", "slope", "intercept", "ece_debiased", "ece_null"), 1e-3)
"""Figures behind an optimization agree to this, absolutely or as a share of themselves."""

NOT_IN_THE_TEXT = ("refused", "filtered", "api_error", "truncated")
"""Outcomes that the service or the length limit gave; the text alone cannot show them."""


def check(run: RunDir, config: Config) -> tuple[int, list[str]]:
    """Reads every text and computes every figure again.

    Taken from the files and not computed: what the run recorded of itself (device, versions, dates), earlier looks at
    the test, how the baseline was asked, and published figures.

    Returns:
        how many values were compared, and each that differs, in words.
    """
    written = read_json(run.comparison)
    test, judge = test_of(config, run), Judge(config.task, example_files.labels(run))
    pixels = {row["id"]: row["pixels_sha256"] for row in read_jsonl(run.manifest)}
    held_out = _validation_examples(config, run)
    names = compared_models.names(config)
    deployed = {who: list(read_jsonl(run.predictions(who))) for who in names}
    generated = {who: list(read_jsonl(run.predictions(who, True))) for who in written["modes"]}
    validation = {who: list(read_jsonl(run.validation(who))) for who in names if run.validation(who).exists()}
    files = [("test", run.predictions(who).name, rows) for who, rows in deployed.items()]
    files += [("test", run.predictions(who, True).name, rows) for who, rows in generated.items()]
    files += [("validation", run.validation(who).name, rows) for who, rows in validation.items()]
    examples = {"test": test.examples, "validation": held_out}
    problems = [
        line
        for split, name, rows in files
        for line in _of_rows(name, rows, split, examples[split], judge=judge, pixels=pixels)
    ]
    checked = sum(len(rows) for _, _, rows in files)
    if problems:
        return checked, problems
    decision = written["decision"]
    comparison, metrics = verdict.compute(
        config,
        run,
        test,
        _predictions(deployed),
        _predictions(generated),
        validation=_predictions(validation),
        fairness=written.get("fairness", []),
        scope=decision["scope"] | {"expires": _expires(decision, config)},
        history=decision["looks_history"],
    )
    compared = [*differences(comparison, written, run.comparison.name)]
    compared += differences(metrics, read_json(run.metrics), run.metrics.name)
    if run.panels.is_file() and run.panel_replies.is_file():
        compared += _of_panel(run)
    return checked + len(compared), [line for line in compared if line]


def _validation_examples(config: Config, run: RunDir) -> tuple[Example, ...]:
    files = [part.split("val") for part in run.parts(config.data.folds)]
    return tuple(row for file in files if file.is_file() for row in example_files.read_split(file))


def _predictions(side: dict[str, list[Json]]) -> dict[str, list[Prediction]]:
    return {who: [Prediction(**row) for row in rows] for who, rows in side.items()}


def _expires(decision: Json, config: Config) -> str:
    evaluated = date.fromisoformat(decision["scope"]["dates"]["evaluated"])
    return (evaluated + timedelta(days=config.evaluate.decision.valid_days)).isoformat()


def _of_panel(run: RunDir) -> Iterator[str]:
    written = read_json(run.panels)
    figures = regressions.tables(
        regressions.known_sets(written), regressions.read_replies(run), example_files.labels(run)
    )
    yield from differences(figures, {name: written[name] for name in figures}, run.panels.name)


def _of_rows(
    file: str,
    rows: Sequence[Json],
    split: str,
    examples: Sequence[Example],
    *,
    judge: Judge,
    pixels: dict[str, str | None],
) -> Iterator[str]:
    """Rows of another item, whose answer is not what the parser reads, or whose outcome does not follow."""
    if [row["id"] for row in rows] != [example.id for example in examples]:
        yield f"{file}: its ids are not those of the {split} split, in order"
        return
    for row, example in zip(rows, examples, strict=True):
        of_split = {"gold": example.target, "question": example.question, "group": example.group}
        if pixels.get(example.id) is not None:  # null: `data.decode=headers` did not decode it
            of_split["image_sha256"] = str(pixels[example.id])
        other = [key for key, value in of_split.items() if row[key] != value]
        for key in other:
            yield f"{file} {row['id']}: {key} is {row[key]!r}, in the {split} {of_split[key]!r}"
        if not other and row["outcome"] not in NOT_IN_THE_TEXT:
            answer = judge.parse(row["text"], example)
            outcome = judge.outcome(row["text"], answer, example)
            for key, again in (("answer", answer), ("outcome", outcome)):
                if row[key] != again:
                    yield f"{file} {row['id']}: {key} is {row[key]!r}, its text gives {again!r}"


def differences(computed: Any, written: Any, where: str) -> Iterator[str]:
    """One text a value: empty where both agree, else what differs, with its path.

    Args:
        computed: the tree as it should be.
        written: the tree of the file.
        where: name of the file, in front of every path.
    """
    yield from _differences(json.loads(json.dumps(computed)), written, where)


def _differences(computed: Any, written: Any, where: str) -> Iterator[str]:
    if isinstance(computed, dict) and isinstance(written, dict):
        for key in computed.keys() | written.keys():
            if key not in written:
                yield f"{where} {key}: is missing"
            elif key not in computed:
                yield f"{where} {key}: no prediction gives this value"
            else:
                yield from _differences(computed[key], written[key], f"{where} {key}")
    elif isinstance(computed, list) and isinstance(written, list):
        if len(written) != len(computed):
            yield f"{where}: holds {len(written)} entries, recomputed {len(computed)}"
        else:
            for number, (value, other) in enumerate(zip(computed, written, strict=True)):
                yield from _differences(value, other, f"{where}[{number}]")
    else:
        same = _same(computed, written, where.rpartition(" ")[2])
        yield "" if same else f"{where}: is {written!r}, recomputed {computed!r}"


def _same(computed: Any, written: Any, key: str) -> bool:
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in (computed, written)]
    if not all(numbers):
        return bool(computed == written and type(computed) is type(written))
    reach = LOOSE.get(key.partition("[")[0], TOLERANCE)
    return math.isclose(computed, written, rel_tol=reach if reach > TOLERANCE else 0, abs_tol=reach)
