"""What is written in `comparison.json` and `metrics.json`, against what the predictions give."""

import dataclasses
import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from finetune.config.schema import Config
from finetune.data import example_files
from finetune.example import Example
from finetune.rundir import RunDir, canonical_digest, read_json, read_jsonl
from oracle import compared, details, headline, panels, shown, tasks, verdict
from oracle.rows import Row, Setting

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
    found, labels = read_json(run.comparison), example_files.labels(run)
    reader = tasks.Reader(config.task, labels)
    answers = _read(run, compared.names(config), found["modes"])
    pixels = {row["id"]: row["pixels_sha256"] for row in read_jsonl(run.manifest)}
    test, held_out = (_examples(config, run, split) for split in ("test", "val"))
    checked, problems = 0, []
    for file, split, own in answers.by_file(run):
        examples = [example for _, example in (test if split == "test" else held_out)]
        problems += list(_scored(file, split, own, reader, examples, pixels))
        checked += len(own)
    if problems:
        return checked, problems
    kept = reader.deciding([example for _, example in test])
    own_answers, setting = answers.narrowed(kept, labels), _setting(config, labels, test, kept)
    sides = own_answers.deployed, own_answers.generated
    tree = headline.expected(*sides, setting)
    tree |= verdict.expected(*sides, own_answers.validation, setting, found.get("fairness", []))
    leaked = {name for leak in read_json(run.summary)["leaks"] for name in leak["ids"]}
    tree["without_suspects"] = headline.without_suspects(own_answers.deployed, setting, leaked)
    tree["decision"] |= _ruled(setting, found["decision"], _digest((example for _, example in test), pixels))
    for name, rows in answers.deployed.items():
        tree["models"][name] |= headline.extras(rows, config.task)
    found["decision"]["criteria"] = {row["name"]: row for row in found["decision"]["criteria"]}
    pairs = [*_held(tree, found, run.comparison.name)]
    behind = details.expected(*sides, own_answers.validation, setting)
    pairs += _held(behind, read_json(run.metrics), run.metrics.name)
    if run.panels.is_file() and run.panel_replies.is_file():
        wanted = panels.expected(read_jsonl(run.panel_replies), labels)
        pairs += _held(wanted, read_json(run.panels), run.panels.name)
    return checked + len(pairs), [problem for problem in pairs if problem]


@dataclasses.dataclass(frozen=True)
class _Answers:
    """What every model said: name -> rows, on the test in both modes and on validation."""

    deployed: dict[str, list[Row]]
    generated: dict[str, list[Row]]
    validation: dict[str, list[Row]]

    def by_file(self, run: RunDir) -> Iterator[tuple[str, str, list[Row]]]:
        """Name of every file of answers, the split that was asked, and its rows."""
        yield from ((run.predictions(name).name, "test", rows) for name, rows in self.deployed.items())
        yield from ((run.predictions(name, True).name, "test", rows) for name, rows in self.generated.items())
        yield from ((run.validation(name).name, "validation", rows) for name, rows in self.validation.items())

    def narrowed(self, kept: Collection[str], labels: Sequence[str]) -> "_Answers":
        """The rows of some items; on validation those with a closed gold answer, where there are labels."""
        deployed, generated = (
            {name: [row for row in rows if row["id"] in kept] for name, rows in side.items()}
            for side in (self.deployed, self.generated)
        )
        known = {
            name: [row for row in rows if not labels or row["gold"] in labels] for name, rows in self.validation.items()
        }
        return _Answers(deployed, generated, known)


def _read(run: RunDir, names: Sequence[str], generated: Iterable[str]) -> _Answers:
    return _Answers(
        {name: list(read_jsonl(run.predictions(name))) for name in names},
        {name: list(read_jsonl(run.predictions(name, True))) for name in generated},
        {name: list(read_jsonl(run.validation(name))) for name in names if run.validation(name).exists()},
    )


def _setting(
    config: Config, labels: tuple[str, ...], test: Sequence[tuple[str, Example]], kept: Collection[str]
) -> Setting:
    rows = [(fold, example) for fold, example in test if example.id in kept]
    return Setting(
        labels=labels,
        evaluate=config.evaluate,
        baseline=compared.replaced(config),
        seed=config.seed,
        folds=[fold for fold, _ in rows],
        meta=[example.meta for _, example in rows],
        task=config.task.kind,
        negative=config.data.tiles.empty,
        tiles={example.id: example for _, example in rows if example.whole is not None},
    )


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


def _examples(config: Config, run: RunDir, split: str) -> list[tuple[str, Example]]:
    """Fold and example of a split, in the order of the files."""
    files = [(part.name, part.split(split)) for part in run.parts(config.data.folds)]
    return [(name, example) for name, file in files if file.is_file() for example in example_files.read_split(file)]


def _scored(
    file: str,
    split: str,
    rows: Sequence[Row],
    reader: tasks.Reader,
    examples: Sequence[Example],
    pixels: Mapping[str, str | None],
) -> Iterator[str]:
    """Rows that are of another item, whose answer is not what the parser reads, or whose outcome does not follow."""
    if [row["id"] for row in rows] != [example.id for example in examples]:
        yield f"{file}: its ids are not those of the {split} split, in order"
        return
    for row, example in zip(rows, examples, strict=True):
        of_split = {"gold": example.target, "question": example.question, "group": example.group}
        of_split |= {"image_sha256": pixels.get(row["id"]) or row["image_sha256"]}  # null: `prepare` did not decode it
        other = [key for key, value in of_split.items() if row[key] != value]
        for key in other:
            yield f"{file} {row['id']}: {key} is {row[key]!r}, in the {split} {of_split[key]!r}"
        if not other and row["outcome"] not in FINAL:
            answer = reader.answer(row["text"], example, row["parser"])
            outcome = reader.outcome(row["text"], answer, example.target)
            for key, own in (("answer", answer), ("outcome", outcome)):
                if row[key] != own:
                    yield f"{file} {row['id']}: {key} is {row[key]!r}, its text gives {own!r}"


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
