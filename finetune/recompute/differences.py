"""What is written in `comparison.json` and `metrics.json`, against what the predictions give."""

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from finetune import dataset
from finetune.config import Config
from finetune.evaluation import rivals
from finetune.evaluation.judge import Judge
from finetune.example import Example
from finetune.recompute import details, headline, panels, shown, verdict
from finetune.recompute.rows import Row, Setting
from finetune.rundir import RunDir, canonical_digest, read_json, read_jsonl

TOLERANCE = 1e-8
"""Numerical roots and quantiles agree to this; everything else to the last digits."""
LOOSE = {"temperature": 1e-3, "brier": 1e-4, "log_loss": 1e-4, "ece": 1e-4, "confidence": 1e-4}
LOOSE |= {"slope": 1e-3, "intercept": 1e-3, "ece_debiased": 1e-3, "ece_null": 1e-3}
"""Numbers behind an optimisation: they agree to this, or to this share of themselves."""
FINAL = ("refused", "filtered", "api_error", "truncated")
"""Outcomes that the service or the length limit gave; the text alone cannot show them."""


def check(run: RunDir, config: Config) -> tuple[int, list[str]]:
    """Re-parses every text, re-scores every row and recomputes every number.

    Returns:
        how many values were compared, and each that differs, in words.
    """
    found, more = read_json(run.comparison), read_json(run.metrics)
    who = rivals.names(config)
    deployed = {name: list(read_jsonl(run.predictions(name))) for name in who}
    generated = {name: list(read_jsonl(run.predictions(name, True))) for name in found["modes"]}
    validation = {name: list(read_jsonl(run.validation(name))) for name in who if run.validation(name).exists()}
    problems, checked = [], 0
    labels = dataset.labels(run)
    judge = Judge(config.task, labels)
    pixels = {row["id"]: row["pixels_sha256"] for row in read_jsonl(run.manifest)}
    rows = _examples(config, run)
    examples = {example.id: example for _, example in rows}
    for name, own in (*deployed.items(), *((f"{name}.generated", own) for name, own in generated.items())):
        problems += list(_scored(name, own, judge, examples, pixels))
        checked += len(own)
    if problems:
        return checked, problems
    everything, rows_of_test = deployed, [example for _, example in rows]
    kept = deciding(judge, rows_of_test)
    rows = [row for row in rows if row[1].id in kept]
    deployed, generated = (
        {who: [row for row in own if row["id"] in kept] for who, own in side.items()} for side in (deployed, generated)
    )
    if judge.labels:
        validation = {who: [row for row in own if row["gold"] in judge.labels] for who, own in validation.items()}
    setting = Setting(
        labels=labels,
        evaluate=config.evaluate,
        baseline=rivals.replaced(config),
        seed=config.seed,
        folds=[fold for fold, _ in rows],
        meta=[example.meta for _, example in rows],
        task=config.task.kind,
        negative=config.data.tiles.empty,
        tiles={example.id: example for _, example in rows if example.whole is not None},
    )
    tree = headline.expected(deployed, generated, setting)
    tree |= verdict.expected(deployed, generated, validation, setting, found.get("fairness", []))
    leaked = {name for leak in read_json(run.summary)["leaks"] for name in leak["ids"]}
    tree["without_suspects"] = headline.without_suspects(deployed, setting, leaked)
    tree["decision"] |= _ruled(setting, found["decision"], _digest(rows_of_test, pixels))
    for name, own in everything.items():
        tree["models"][name] |= headline.extras(own, config.task)
    found = found | {"criteria": {row["name"]: row for row in found["criteria"]}}
    pairs = [*_held(tree, found, run.comparison.name)]
    pairs += _held(details.expected(deployed, generated, validation, setting), more, run.metrics.name)
    if run.panels.is_file() and run.panel_replies.is_file():
        wanted = panels.expected(read_jsonl(run.panel_replies), labels)
        pairs += _held(wanted, read_json(run.panels), run.panels.name)
    return checked + len(pairs), [problem for problem in pairs if problem]


def _held(wanted: dict[str, Any], got: dict[str, Any], where: str) -> Iterator[str]:
    """Compares, and names what stands in the file although no prediction gives it."""
    yield from _compared(wanted, got, where)
    yield from (f"{where} {path}: no prediction gives this value" for path in shown.uncovered(wanted, got))


def _ruled(setting: Setting, decision: dict[str, Any], test_sha256: str) -> dict[str, Any]:
    """The rule from the settings of the run; digests, counts of looks and rules, and the last day."""
    settings = json.loads(json.dumps(dataclasses.asdict(setting.evaluate)))
    names = ("decision", "guards", "positive", "threshold", "risk_target", "unit", "aggregate", "models")
    rule = {name: settings[name] for name in names} | {"baseline": setting.baseline}
    own, day = canonical_digest(rule), decision["scope"]["dates"]["evaluated"]
    last = date.fromisoformat(day) + timedelta(days=setting.evaluate.decision.valid_days)
    return {
        "rule": rule,
        "rule_sha256": own,
        "looks": len(decision["looks_history"]) + 1,
        "rules": len({row["rule_sha256"] for row in decision["looks_history"]} | {own}),
        "test_sha256": test_sha256,
        "expires": last.isoformat(),
    }


def _digest(examples: Iterable[Example], pixels: Mapping[str, str | None]) -> str:
    """Digest of the test as it was prepared: ids, pixels, right answers."""
    return canonical_digest(sorted((example.id, str(pixels[example.id]), example.target) for example in examples))


def deciding(judge: Judge, examples: Sequence[Example]) -> set[str]:
    """Ids of the items that may carry a verdict (open answers never do); all of them where none may."""
    closed = {example.id for example in examples if judge.module.decides(judge.task, judge.labels, example)}
    return closed or {example.id for example in examples}


def _examples(config: Config, run: RunDir) -> list[tuple[str, Any]]:
    parts = run.parts(config.data.folds)
    return [(part.name, example) for part in parts for example in dataset.read_split(part.split("test"))]


def _scored(
    name: str, rows: list[Row], judge: Judge, examples: dict[str, Any], pixels: dict[str, str | None]
) -> Iterator[str]:
    """Rows that are of another item, whose answer is not what the parser reads, or whose outcome does not follow."""
    if [row["id"] for row in rows] != list(examples):
        yield f"{name}.predictions.jsonl: its ids are not those of the test split, in order"
        return
    for row in rows:
        example = examples[row["id"]]
        of_test = {"gold": example.target, "question": example.question, "group": example.group}
        of_test |= {"image_sha256": pixels.get(row["id"]) or row["image_sha256"]}  # null: `prepare` did not decode it
        other = [key for key, value in of_test.items() if row[key] != value]
        for key in other:
            yield f"{name}.predictions.jsonl {row['id']}: {key} is {row[key]!r}, in the test {of_test[key]!r}"
        if not other and row["outcome"] not in FINAL:
            answer = judge.parse(row["text"], example)
            outcome = judge.outcome(row["text"], answer, example)
            for key, own in (("answer", answer), ("outcome", outcome)):
                if row[key] != own:
                    yield f"{name}.predictions.jsonl {row['id']}: {key} is {row[key]!r}, its text gives {own!r}"


def _compared(wanted: Any, got: Any, where: str) -> Iterator[str]:
    """One text a value of `wanted`: empty where `got` agrees, else what differs."""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            if not isinstance(got, dict) or key not in got:
                yield f"{where} {key}: is missing"
            else:
                yield from _compared(value, got[key], f"{where} {key}")
    elif isinstance(wanted, list):
        if not isinstance(got, list) or len(got) != len(wanted):
            yield f"{where}: holds {len(got) if isinstance(got, list) else got!r} entries, recomputed {len(wanted)}"
        else:
            for number, (value, other) in enumerate(zip(wanted, got, strict=True)):
                yield from _compared(value, other, f"{where}[{number}]")
    else:
        yield "" if _same(wanted, got, where.rpartition(" ")[2]) else f"{where}: is {got!r}, recomputed {wanted!r}"


def _same(wanted: Any, got: Any, key: str) -> bool:
    if isinstance(wanted, bool) or isinstance(got, bool) or not isinstance(wanted, int | float):
        return bool(wanted == got)
    if not isinstance(got, int | float):
        return False
    reach = LOOSE.get(key.partition("[")[0], TOLERANCE)
    return math.isclose(wanted, got, rel_tol=reach if reach > TOLERANCE else 0, abs_tol=reach)
