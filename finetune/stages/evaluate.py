"""Asks base, tuned and majority the whole test split, in both answering modes, and compares them."""

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune import comparison, dataset, named
from finetune.comparison import Test
from finetune.config import Config
from finetune.errors import ConfigError, DataError, IntegrityError
from finetune.example import Example, Prediction
from finetune.report import words
from finetune.rundir import Json, Part, RunDir, canonical_digest, read_json, read_jsonl, sha256_file

Answers = dict[str, list[Prediction]]


def reads(config: Config, run: RunDir) -> dict[str, Any]:
    """What the comparison depends on; fewer settings decide whether predictions are reused (`_identity`)."""
    return {
        "evaluate": dataclasses.asdict(config.evaluate),
        "seed": config.seed,
        **{who: _identity(config, run, who) for who in config.evaluate.models},
    }


def sources(config: Config) -> dict[str, Any]:
    """Nothing: everything evaluated is in the run, and `prepare` watches the images."""
    return {}


def run(config: Config, run: RunDir) -> list[Path]:
    """Writes the predictions, `metrics.json` and `comparison.json`; prints the comparison table to standard output.

    Raises:
        ConfigError: `evaluate.positive` is none of the labels found.
        DataError: the test split is empty, or an image cannot be decoded.
        IntegrityError: predictions and test split do not belong together.
    """
    test = _test(config, run)
    deployed, generated = _answers(config, run, test)
    twin = next(iter(deployed.values()))
    for who, rows in (*deployed.items(), *((f"{who} (generated)", rows) for who, rows in generated.items())):
        comparison.check_pairing(who, rows, test.examples, twin)
    _check_pixels(run, twin)
    identity = canonical_digest([(p.id, p.image_sha256, p.question, p.gold) for p in twin])
    found = comparison.compare(test, deployed, generated, config.evaluate, _looks(run, identity))
    found["decision"]["test_sha256"] = identity
    metrics = {who: comparison.detail(test, rows) for who, rows in deployed.items()}
    for who, rows in generated.items():
        metrics[who]["generated"] = comparison.detail(test, rows)
    pairs = {metric: comparison.pairs(test, deployed, metric) for metric in ("accuracy", "balanced_accuracy")}
    other = {metric: comparison.pairs(test, generated, metric) for metric in ("accuracy", "balanced_accuracy")}
    run.write_json(run.metrics, {"schema": 1, "models": metrics, "pairs": pairs, "generated_pairs": other})
    run.write_json(run.comparison, found)
    print(words.table(found))
    files = [run.predictions(who) for who in deployed] + [run.predictions(who, True) for who in generated]
    return [*files, _record(run), run.metrics, run.comparison]


def _test(config: Config, run: RunDir) -> Test:
    labels = dataset.labels(run)
    positive = config.evaluate.positive
    if positive is not None and positive not in labels:
        raise ConfigError(f"evaluate.positive: {named.unknown('label', positive, labels)}")
    rows = [(part.name, row) for part in run.parts(config.data.folds) for row in dataset.read_split(part.split("test"))]
    if not rows:
        raise DataError(f"{run.data}: the test split is empty; raise data.split.test or change data.split.salt.")
    return Test(
        labels=labels,
        examples=tuple(row for _, row in rows),
        folds=tuple(name for name, _ in rows),
        metric=config.evaluate.decision.metric,
        positive=positive,
        seed=config.seed,
    )


def _check_pixels(run: RunDir, predictions: Sequence[Prediction]) -> None:
    """Compares what the models saw with what `prepare` decoded.

    Raises:
        IntegrityError: an image changed in between; names ids.
    """
    prepared = {row["id"]: row["pixels_sha256"] for row in read_jsonl(run.manifest)}
    changed = [p.id for p in predictions if p.image_sha256 != prepared[p.id]]
    if changed:
        raise IntegrityError(
            f"{len(changed)} test images are not those that prepare read: {', '.join(changed[:5])}"
            f"{', ...' if len(changed) > 5 else ''}. Put them back, or run all stages again."
        )


def _answers(config: Config, run: RunDir, test: Test) -> tuple[Answers, Answers]:
    """Reads the predictions that still hold, asks for the others, and writes those down at once."""
    deployed: Answers = {}
    generated: Answers = {}
    kept = read_json(_record(run)) if _record(run).exists() else {}
    wanted = {who: canonical_digest(_identity(config, run, who)) for who in config.evaluate.models}
    held = [who for who, identity in wanted.items() if _holds(run, who, identity, kept)]
    for who in held:
        print(f"evaluate: predictions of {who} are unchanged and reused", file=sys.stderr)
    missing = [who for who in wanted if who not in held]
    asked = _ask(config, run, test, missing)
    for who, columns in asked.items():
        for rows, other in zip(columns, (False, True), strict=False):
            run.write_jsonl(run.predictions(who, other), map(dataclasses.asdict, rows))
    for who in wanted:
        deployed[who] = _read(run.predictions(who))
        if who != "majority":
            generated[who] = _read(run.predictions(who, True))
    files = {who: [run.predictions(who), *([run.predictions(who, True)] * (who in generated))] for who in wanted}
    record = {
        who: {"identity": wanted[who], "sha256": {path.name: sha256_file(path) for path in files[who]}}
        for who in wanted
    }
    run.write_json(_record(run), kept | record)
    return deployed, generated


def _record(run: RunDir) -> Path:
    return run.eval / "predictions.json"


def _holds(run: RunDir, who: str, identity: str, kept: Json) -> bool:
    """Whether the predictions on disk are those that this configuration would make."""
    entry = kept.get(who, {"identity": None, "sha256": {}})
    return entry["identity"] == identity and all(
        (run.eval / name).is_file() and sha256_file(run.eval / name) == sha for name, sha in entry["sha256"].items()
    )


def _read(path: Path) -> list[Prediction]:
    return [Prediction(**row) for row in read_jsonl(path)]


def _ask(config: Config, run: RunDir, test: Test, who: Sequence[str]) -> Mapping[str, Sequence[Sequence[Prediction]]]:
    """Asks models; returns a column of predictions for each answering mode, the deployed one first."""
    columns: dict[str, list[list[Prediction]]] = {name: [[], []] for name in who if name != "majority"}
    root = dataset.image_root(config, run)
    parts = run.parts(config.data.folds)
    if "majority" in who:
        from finetune.predictors import majority

        task = named.load("task", config.task.kind)
        rows = [
            row
            for part in parts
            for row in majority.predict(
                dataset.read_split(part.split("train")), _own(test, part), root, test.labels, task
            )
        ]
        columns["majority"] = [rows]
    for name, prediction in _ask_local(config, test, parts, root, [name for name in who if name != "majority"]):
        for column, row in zip(columns[name], prediction, strict=True):
            column.append(row)
    return columns


def _ask_local(
    config: Config, test: Test, parts: Sequence[Part], root: Path, who: Sequence[str]
) -> Iterator[tuple[str, tuple[Prediction, ...]]]:
    """Loads the base once (again for each fold's adapter) and lets base and tuned answer in both modes."""
    if not who:
        return
    from finetune import models
    from finetune.predictors.local import LocalPredictor

    for part in parts if "tuned" in who else parts[:1]:
        loaded = models.load(config)
        if "tuned" in who:
            loaded = dataclasses.replace(loaded, model=models.attach(loaded, part.adapter))
        name = Path(config.model.path).name if config.model.path else config.model.id
        digest = sha256_file(part.weights) if "tuned" in who and part.weights.is_file() else ""
        predictor = LocalPredictor(loaded, test.labels, config.task, config.evaluate.batch_size, name, digest)
        if "base" in who and part == parts[0]:
            for predictions in predictor.predict_modes(test.examples, root, ("score", "generate"), "base"):
                yield "base", predictions
        if "tuned" in who:
            for predictions in predictor.predict_modes(_own(test, part), root, ("score", "generate"), "tuned"):
                yield "tuned", predictions


def _own(test: Test, part: Part) -> list[Example]:
    return [example for example, fold in zip(test.examples, test.folds, strict=True) if fold == part.name]


def _identity(config: Config, run: RunDir, who: str) -> Json:
    """What the predictions of one model depend on: settings and files."""
    parts = run.parts(config.data.folds)
    files = [run.manifest, *(part.split("test") for part in parts)]  # the manifest for the digests of the images
    settings: Json = {"labels": sha256_file(run.summary) if run.summary.exists() else None}
    if who == "majority":
        files += [part.split("train") for part in parts]
    else:
        settings |= {
            "task": dataclasses.asdict(config.task),
            "model": dataclasses.asdict(config.model),
            "quantise": config.method.quantise,
            "precision": config.train.precision,
            "batch_size": config.evaluate.batch_size,
        }
    if who == "tuned":
        files += [file for part in parts for file in sorted(part.adapter.glob("*")) if file.is_file()]
    return settings | {
        file.relative_to(run.root).as_posix(): sha256_file(file) if file.exists() else None for file in files
    }


def _looks(run: RunDir, test_sha256: str) -> int:
    """How often this test split was evaluated in this run, this time included."""
    if not run.comparison.exists():
        return 1
    former = read_json(run.comparison)["decision"]
    return int(former["looks"]) + 1 if former.get("test_sha256") == test_sha256 else 1
