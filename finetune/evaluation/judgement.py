"""Makes the verdict of a run and writes it down: `metrics.json`, `comparison.json`, and one look in the ledger."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from finetune.config import Config
from finetune.evaluation import breakdown, comparison, deciding, decision, looks, rivals, suspects, units
from finetune.evaluation.pairing import Test
from finetune.example import Prediction
from finetune.rundir import Json, RunDir, canonical_digest, read_json, read_jsonl

Rows = Mapping[str, Sequence[Prediction]]


def test_sha256(run: RunDir, test: Test) -> str:
    """Digest of the test as `prepare` wrote it down: ids, decoded pixels, gold."""
    pixels = {row["id"]: row["pixels_sha256"] for row in read_jsonl(run.manifest)}
    return looks.digest_of((example.id, str(pixels[example.id]), example.target) for example in test.examples)


def refuse_second_look(config: Config, run: RunDir, test: Test) -> None:
    """Before anything is asked: a sealed test that another rule has opened stays closed.

    Raises:
        IntegrityError: it was opened before.
    """
    rule = canonical_digest(comparison.rule(config.evaluate, rivals.replaced(config)))
    history = looks.former(Path(config.run.root), test_sha256(run, test))
    looks.refuse_second(history, config.evaluate.sealed, rule)


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
    baseline = rivals.replaced(config)
    root, key, everything = Path(config.run.root), test_sha256(run, test), deployed
    test = deciding.narrowed(config, test)
    deployed, generated = deciding.rows_of(test, deployed), deciding.rows_of(test, generated)
    validation = deciding.closed(test.labels, validation or {})
    with looks.opened(root):
        history = looks.former(root, key)
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
            found["models"][who] |= deciding.extras(config.task, rows)
        leaks = read_json(run.summary)["leaks"]
        acted = units.acted(deployed, test.positive, config.evaluate, baseline)
        found["without_suspects"] = suspects.without(test, deployed, config.evaluate, baseline, leaks)
        found["subgroups"] = breakdown.subgroups(test, acted, config.evaluate.subgroups)
        answers = _answers(deployed, generated)
        look = {"test_sha256": key, "rule_sha256": verdict["rule_sha256"], "answers_sha256": answers}
        looks.refuse_second(history, config.evaluate.sealed, look["rule_sha256"], look["answers_sha256"])
        more = breakdown.everything(
            test, deployed, generated, config.evaluate, baseline=baseline, validation=validation
        )
        run.write_json(run.metrics, more)
        run.write_json(run.comparison, found)
        entry = look | {"run": run.root.name, "verdict": verdict["verdict"], "sealed": config.evaluate.sealed}
        looks.append(root, run.file_mode, **entry)
    return found


def _answers(*modes: Rows) -> str:
    return canonical_digest(
        [{who: [(row.id, row.answer, row.outcome) for row in rows] for who, rows in own.items()} for own in modes]
    )
