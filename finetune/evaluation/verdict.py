"""Makes the verdict of a run and writes it down: `metrics.json`, `comparison.json`, and one look in the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from finetune import plugins
from finetune.config import compared_models
from finetune.config.schema import Config, TaskConfig
from finetune.errors import ConfigError
from finetune.evaluation import breakdown, comparison, decision, decision_units, test_ledger, without_leaks
from finetune.evaluation.pairing import Test, counted
from finetune.example import Example, Prediction
from finetune.rundir import Json, RunDir, canonical_digest, read_json, read_jsonl

Rows = Mapping[str, Sequence[Prediction]]


def test_sha256(run: RunDir, test: Test) -> str:
    """Digest of the test as `prepare` wrote it down: ids, decoded pixels, gold."""
    pixels = {row["id"]: row["pixels_sha256"] for row in read_jsonl(run.manifest)}
    return test_ledger.digest_of((example.id, str(pixels[example.id]), example.target) for example in test.examples)


def refuse_second_look(config: Config, run: RunDir, test: Test) -> None:
    """Before anything is asked: a sealed test that another rule has opened stays closed.

    Raises:
        IntegrityError: it was opened before.
    """
    rule = canonical_digest(comparison.rule(config.evaluate, compared_models.replaced(config)))
    history = test_ledger.former(Path(config.run.root), test_sha256(run, test))
    test_ledger.refuse_second(history, config.evaluate.sealed, rule)


def settle(
    config: Config,
    run: RunDir,
    test: Test,
    deployed: Rows,
    generated: Rows,
    *,
    validation: Rows | None = None,
    fairness: Sequence[Json] = (),
    runtime: Json | None = None,
) -> Json:
    """Compares, decides, writes `metrics.json` and `comparison.json`, and enters the look into the ledger.

    `validation` and `fairness` are those of `comparison.compare`; `runtime` is what only the caller knows of the scope,
    such as the device.

    Raises:
        IntegrityError: the test is sealed and was opened before.
    """
    baseline = compared_models.replaced(config)
    root, key, everything = Path(config.run.root), test_sha256(run, test), deployed
    test = narrowed(config, test)
    deployed, generated = rows_of(test, deployed), rows_of(test, generated)
    validation = closed(test.labels, validation or {})
    with test_ledger.opened(root):
        history = test_ledger.former(root, key)
        scope = decision.scope(config, run, runtime or {})
        expires = scope.pop("expires")
        found = comparison.compare(
            test,
            deployed,
            generated,
            config.evaluate,
            len(history) + 1,
            baseline=baseline,
            validation=validation,
            fairness=fairness,
            scope=scope,
            history=[{name: row[name] for name in ("time", "run", "rule_sha256", "verdict")} for row in history],
        )
        verdict = found["decision"] | {"test_sha256": key, "expires": expires}
        found["decision"] = verdict
        for who, rows in everything.items():
            found["models"][who] |= extras(config.task, rows)
        leaks = read_json(run.summary)["leaks"]
        acted = decision_units.acted(deployed, test.positive, config.evaluate, baseline)
        found["without_suspects"] = without_leaks.without(test, deployed, config.evaluate, baseline, leaks)
        found["subgroups"] = breakdown.subgroups(test, acted, config.evaluate.subgroups)
        answers = _answers(deployed, generated)
        look = {"test_sha256": key, "rule_sha256": verdict["rule_sha256"], "answers_sha256": answers}
        test_ledger.refuse_second(history, config.evaluate.sealed, look["rule_sha256"], look["answers_sha256"])
        more = breakdown.everything(
            test, deployed, generated, config.evaluate, baseline=baseline, validation=validation
        )
        run.write_json(run.metrics, more)
        run.write_json(run.comparison, found)
        entry = look | {"run": run.root.name, "verdict": verdict["verdict"], "sealed": config.evaluate.sealed}
        test_ledger.append(root, run.file_mode, **entry)
    return found


def _answers(*modes: Rows) -> str:
    return canonical_digest(
        [{who: [(row.id, row.answer, row.outcome) for row in rows] for who, rows in own.items()} for own in modes]
    )


def ids(task: TaskConfig, labels: Sequence[str], examples: Sequence[Example]) -> set[str]:
    """Ids of the examples that carry the verdict; all of them where none does, so that there is something to show."""
    decides = plugins.load("task", task.kind).decides
    found = {example.id for example in examples if decides(task, labels, example)}
    return found or {example.id for example in examples}


def narrowed(config: Config, test: Test) -> Test:
    """The test without the items that carry no verdict.

    Raises:
        ConfigError: a margin is declared, but no item can carry a verdict.
    """
    decides = plugins.load("task", config.task.kind).decides
    if config.evaluate.decision.margin is not None and not any(
        decides(config.task, test.labels, example) for example in test.examples
    ):
        raise ConfigError(
            f"evaluate.decision.margin: no question of this test can carry a verdict (task.kind={config.task.kind}): "
            "a right answer in other words would count as wrong. Ask closed questions, or set the margin to null."
        )
    kept = ids(config.task, test.labels, test.examples)
    pairs = [pair for pair in zip(test.examples, test.folds, strict=True) if pair[0].id in kept]
    return replace(test, examples=tuple(e for e, _ in pairs), folds=tuple(fold for _, fold in pairs))


def rows_of(test: Test, answers: Rows) -> dict[str, list[Prediction]]:
    """The answers to the questions of a narrowed test."""
    kept = {example.id for example in test.examples}
    return {who: [row for row in rows if row.id in kept] for who, rows in answers.items()}


def closed(labels: Sequence[str], answers: Rows) -> dict[str, list[Prediction]]:
    """Answers on validation whose gold is a label; all of them where there are none."""
    return {who: [row for row in rows if not labels or row.gold in labels] for who, rows in answers.items()}


def extras(task: TaskConfig, rows: Sequence[Prediction]) -> dict[str, Json]:
    """Metrics of a task that stand beside those of classes: distances of ordered labels, open answers.

    A reply that never arrived (`api_error`) is missing and no mistake, as in the other metrics.
    """
    module: Any = plugins.load("task", task.kind)
    rows = [row for row in rows if row.outcome != "api_error"]
    if "extras" not in vars(module) or not rows:
        return {}
    golds, answers, groups = [row.gold for row in rows], [counted(row) for row in rows], [row.group for row in rows]
    return {name: asdict(score) for name, score in module.extras(task, golds, answers, groups).items()}
