"""Asks everyone who is compared the test split, in both answering modes where there are two, and compares them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finetune import plugins
from finetune.baseline import fairness
from finetune.config.compared_models import rivals
from finetune.config.schema import Config
from finetune.data import example_files, source
from finetune.errors import ConfigError, DataError, IntegrityError
from finetune.evaluation import comparison, verdict
from finetune.evaluation.pairing import Test
from finetune.example import Prediction
from finetune.pipeline import predict_all
from finetune.regressions import panel as panels
from finetune.report import wording
from finetune.rundir import Json, Part, RunDir, read_json, read_jsonl


def reads(config: Config, run: RunDir) -> dict[str, Any]:
    """What the comparison depends on; fewer settings decide whether predictions are reused (`asking.identity`)."""
    return {
        "evaluate": dataclasses.asdict(config.evaluate),
        "baseline": dataclasses.asdict(config.baseline),
        "seed": config.seed,
        **{rival.who: predict_all.identity(config, run, rival) for rival in rivals(config)},
    }


def sources(config: Config) -> dict[str, Any]:
    """The general question sets: the rest of what is evaluated is in the run, and `prepare` watches the images."""
    return panels.sources(config)


def run(config: Config, run: RunDir) -> list[Path]:
    """Writes the predictions, `metrics.json` and `comparison.json`; prints the comparison table to standard output.

    Killed at any time, it goes on where it stopped.

    Raises:
        ConfigError: `evaluate.positive` is none of the labels found, or a model cannot be asked.
        DataError: the test split is empty, or an image cannot be decoded.
        IntegrityError: predictions and test split do not belong together, or a sealed test was opened before.
    """
    test = _test(config, run)
    verdict.refuse_second_look(config, run, test)
    answers = predict_all.collect(config, run, test, _ask_local)
    for rows in answers.deployed.values():
        _check_pixels(run, rows)
    twin = next(iter(answers.deployed.values()))
    for who, rows in (
        *answers.deployed.items(),
        *((f"{who} (generated)", rows) for who, rows in answers.generated.items()),
    ):
        comparison.check_pairing(who, rows, test.examples, twin)
    beside = panels.write(config, run)
    found = verdict.settle(
        config,
        run,
        test,
        answers.deployed,
        answers.generated,
        validation=answers.validation,
        fairness=_fairness(config, run, answers),
        runtime=_runtime(answers.asked),
    )
    print("\n".join([wording.table(found), *wording.alike(read_json(run.metrics)["models"])]))
    return [*answers.files, predict_all.record_file(run), *beside, run.metrics, run.comparison]


def _fairness(config: Config, run: RunDir, answers: predict_all.Answers) -> list[Json]:
    rows = answers.deployed.get(config.baseline.name)
    if config.baseline.kind == "none" or rows is None:
        return []
    return fairness.of_run(config, run, rows, source.image_root(config, run))


def _test(config: Config, run: RunDir) -> Test:
    labels = example_files.labels(run)
    positive = config.evaluate.positive
    if positive is not None and positive not in labels:
        raise ConfigError(f"evaluate.positive: {plugins.unknown('label', positive, labels)}")
    rows = [
        (part.name, row)
        for part in run.parts(config.data.folds)
        for row in example_files.read_split(part.split("test"))
    ]
    if not rows:
        raise DataError(f"{run.data}: the test split is empty; raise data.split.test or change data.split.salt.")
    return Test(
        labels=labels,
        examples=tuple(row for _, row in rows),
        folds=tuple(name for name, _ in rows),
        metric=config.evaluate.decision.metric,
        positive=positive,
        seed=config.seed,
        task=config.task.kind,
        negative=config.data.tiles.empty,
    )


def _check_pixels(run: RunDir, predictions: Sequence[Prediction]) -> None:
    """Compares what the models saw with what `prepare` decoded.

    Raises:
        IntegrityError: an image changed in between; names ids.
    """
    prepared = {row["id"]: row["pixels_sha256"] for row in read_jsonl(run.manifest)}
    # null: `data.decode=headers` did not decode it
    changed = [p.id for p in predictions if prepared.get(p.id, "") not in (None, p.image_sha256)]
    if changed:
        raise IntegrityError(
            f"{len(changed)} test images are not those that prepare read: {', '.join(changed[:5])}"
            f"{', ...' if len(changed) > 5 else ''}. Put them back, or run all stages again."
        )


def _ask_local(config: Config, run: RunDir, part: Part, who: Sequence[str]) -> predict_all.Asked:
    """Loads the model of one part; torch is imported here and not before."""
    from finetune.predictors import local

    return local.opened(config, run, part, who)


def _runtime(asked: dict[str, Json]) -> Json:
    """What the verdict's scope takes from how the tuned model was asked."""
    parts = asked.get("tuned", {}).get("parts", [])
    if not parts:
        return {}
    batches = parts[0].get("batches", {})
    found = {"device": parts[0].get("device"), "dtype": batches.get("dtype"), "base": parts[0].get("base")}
    found |= {"answering_mode": parts[0]["mode"], "batch_size": parts[0]["batch_size"]}
    return {name: value for name, value in found.items() if value is not None}
