"""A run with everything that a report can show, written by the real comparison from scripted answers.

All answers are simulated, those of the "proprietary" model `rival_api` too: nobody asked anything of any service.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import synthetic

from finetune.config import compose
from finetune.config.schema import BaselineConfig, Config, DecisionConfig, EvaluateConfig
from finetune.data import example_files
from finetune.evaluation import breakdown, comparison
from finetune.evaluation.pairing import Test
from finetune.example import Example, Prediction
from finetune.rundir import RunDir, canonical_digest
from finetune.tasks import classify

RIVAL = "rival_api"
WHO = ("tuned", RIVAL, "linear", "base", "majority")
SKILL = {"tuned": 0.9, RIVAL: 0.86, "linear": 0.7, "base": 0.5}
"""Share of right answers that each scripted model aims at."""
SITES = ("line A", "line B", "line C")


def write(
    root: Path, parts: int = 80, folds: int = 0, labels: tuple[str, ...] = synthetic.LABELS, **changes: object
) -> tuple[Config, RunDir]:
    """The whole run up to the report; `changes` replace fields of `evaluate`."""
    chosen, run = synthetic.prepare(root, parts=parts, folds=folds, labels=labels)
    chosen = settings(chosen, **changes)
    run.write_text(run.config_file, compose.to_yaml(chosen))
    for part in run.parts(folds):
        rows = [described(example) for example in example_files.read_split(part.split("test"))]
        run.write_jsonl(part.split("test"), map(example_files.to_row, rows))
    rows = [(part.name, row) for part in run.parts(folds) for row in example_files.read_split(part.split("test"))]
    evaluate(chosen, run, [row for _, row in rows], [name for name, _ in rows])
    return chosen, run


def settings(base: Config, **changes: object) -> Config:
    """A rule with everything declared."""
    good, positive, other = base.task.labels
    values: dict[str, object] = {
        "models": WHO,
        "positive": positive,
        "decision": DecisionConfig(metric="balanced_accuracy", margin=0.05, floor=0.7),
        "guards": {f"sensitivity.{positive}": {"min_lower": 0.8}, f"specificity.{positive}": {"min_lower": 0.9}},
        "prevalence": {good: 0.96, positive: 0.03, other: 0.01},
        "costs": {"miss": 40.0, "false_alarm": 1.5, "review": 0.8, "item": 0.0004},
        "risk_target": 0.1,
        "subgroups": ("line", "lens"),
    }
    asked = BaselineConfig(
        kind="openai_compatible", name=RIVAL, model="simulated-vlm-1", base_url="https://gateway.example/v1"
    )
    return replace(base, evaluate=EvaluateConfig(**(values | changes)), baseline=asked)  # type: ignore[arg-type]


def described(example: Example) -> Example:
    """With the columns that subgroups are made of; the last site is small."""
    part = int(example.group[4:])
    return replace(
        example, meta={"line": SITES[2 if part % 13 == 5 else part % 2], "lens": "wide" if part % 3 else "tele"}
    )


def evaluate(chosen: Config, run: RunDir, examples: list[Example], folds: list[str]) -> None:
    """Writes what the stage `evaluate` leaves behind."""
    labels = chosen.task.labels
    deployed = {who: [answer(example, labels, who) for example in examples] for who in WHO}
    generated = {who: [answer(example, labels, who, written=True) for example in examples] for who in ("tuned", "base")}
    validation = {
        who: [
            answer(example, labels, who)
            for example in example_files.read_split(run.parts(chosen.data.folds)[0].split("val"))
        ]
        for who in ("tuned", "base")
    }
    for who, rows in deployed.items():
        run.write_jsonl(run.predictions(who), map(asdict, rows))
    for who, rows in generated.items():
        run.write_jsonl(run.predictions(who, True), map(asdict, rows))
    asked = chosen.evaluate
    test = Test(labels, tuple(examples), tuple(folds), asked.decision.metric, asked.positive, chosen.seed)
    digest = canonical_digest([(row.id, row.image_sha256, row.gold) for row in deployed["tuned"]])
    found = comparison.compare(
        test,
        deployed,
        generated,
        asked,
        looks=3,
        baseline=RIVAL,
        validation=validation,
        fairness=FAIRNESS,
        scope=SCOPE,
        history=HISTORY,
    )
    found["decision"] |= {"test_sha256": digest, "expires": "2027-05-21"}
    found["subgroups"] = breakdown.subgroups(test, deployed, asked.subgroups)
    run.write_json(run.comparison, found)
    more = breakdown.everything(test, deployed, generated, asked, baseline=RIVAL, validation=validation)
    run.write_json(run.metrics, more)
    run.write_json(run.panels, PANELS)
    run.record([run.manifest, run.comparison, run.metrics, *(run.predictions(who) for who in WHO)])


def answer(example: Example, labels: tuple[str, ...], who: str, written: bool = False) -> Prediction:
    """A scripted answer: parts differ in difficulty, models in skill; the rival refuses and fails now and then."""
    part, view = int(example.id[4:].partition("_")[0]), int(example.id[-1])
    luck = np.random.default_rng([part, view, WHO.index(who)]).random()
    hard = np.random.default_rng([part, 9]).random()
    trouble = 0.6 * luck + 0.4 * hard
    right = trouble < SKILL.get(who, 1.0) * 0.88
    other = labels[(labels.index(example.target) + 1 + view % 2) % len(labels)]
    said = labels[0] if who == "majority" else example.target if right else other
    outcome = "correct" if said == example.target else "wrong"
    text = said
    if who == RIVAL:
        text = f"Looking at the surface, the answer is: {said}."
        failure = {0: "refused", 1: "unparsed", 2: "api_error", 3: "filtered"}.get(int(luck * 997) % 80)
        text, outcome, said = (f"({failure})", failure, None) if failure else (text, outcome, said)
    if written and who == "base" and luck > 0.8:
        text, outcome, said = "The surface looks worn.", "unparsed", None
    sure = max(0.36, 0.995 - 0.62 * trouble**2)
    chances = {label: (1 - sure) / (len(labels) - 1) for label in labels} | {said: sure}
    scored = who in ("tuned", "base", "linear") and not written
    return Prediction(
        id=example.id,
        image_sha256=f"{part:032x}{view:032x}",
        question=example.question,
        gold=example.target,
        text=text,
        answer=said,
        outcome=outcome,
        probabilities=chances if scored else None,
        seconds=round((0.9 if who == RIVAL else 0.02) * (0.6 + luck), 4),
        model={RIVAL: "simulated-vlm-1-2026-10-01", "tuned": "embedded+adapter"}.get(who, "embedded"),
        parser=classify.PARSER,
        group=example.group,
        usage={"input_tokens": 812.0, "output_tokens": 14.0, "cost": 0.0023} if who == RIVAL else None,
    )


def altered(path: Path, **changes: object) -> None:
    """Replaces keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


SCOPE = {
    "recipe": "defects",
    "site": "hall 2",
    "device": "cpu",
    "precision": "fp32",
    "quantisation": "none",
    "model": "embedded",
    "artefact": ["5b1c" * 16],
    "versions": {"finetune": "0.1.0", "torch": "2.14.1"},
    "dates": {"evaluated": "2026-11-22"},
}
HISTORY = [
    {"time": "2026-11-03T09:12:44Z", "run": "defects-1f00", "rule_sha256": "aa" * 32, "verdict": "not_enough_evidence"},
    {"time": "2026-11-17T15:40:02Z", "run": "defects-77ab", "rule_sha256": "bb" * 32, "verdict": "not_enough_evidence"},
]
FAIRNESS = [
    {"check": "pixels", "status": "pass", "detail": "The baseline got the pictures as they are."},
    {
        "check": "prompt",
        "status": "unknown",
        "detail": "The pack does not say that its prompt was chosen on validation.",
    },
    {"check": "snapshot", "status": "pass", "detail": "simulated-vlm-1-2026-10-01 answers until 2027-10-01."},
]


def _score(value: float) -> dict[str, float]:
    return {"value": value, "low": round(value - 0.06, 3), "high": round(value + 0.05, 3)}


def _gap(value: float) -> dict[str, float]:
    return {"difference": value, "low": value - 0.05, "high": value + 0.05, "reading": "open"}


PANELS = {
    "schema": 1,
    "general": [
        {
            "set": "shapes",
            "n": 200,
            "base": _score(0.61),
            "tuned": _score(0.52),
            "difference": _gap(-0.09),
            "reading": "lower",
            "left_out": {"open question": 12},
        }
    ],
    "refusals": {
        "unanswerable": {
            kind: {
                "n": 20,
                "base": {"declined": _score(0.7), "own_label": _score(0.2)},
                "tuned": {"declined": _score(0.3), "own_label": _score(0.65)},
                "difference": _gap(-0.4),
            }
            for kind in ("blank", "absent")
        },
        "answerable": {
            "n": 200,
            "base": {"unanswered": _score(0.08)},
            "tuned": {"unanswered": _score(0.1)},
            "difference": _gap(0.02),
        },
    },
    "references": [
        {
            "beside": "task",
            "task": "Surface defects, another data set",
            "model": "a published CNN",
            "value": 88.42,
            "unit": "% accuracy",
            "source": "an article",
            "verified": "source",
            "remark": "other pictures, 300 px",
        }
    ],
    "notes": ["The tuned model of these panels is that of the first fold."],
}
