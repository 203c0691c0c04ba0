"""Facts of a run of three items that no program wrote: every figure is in the test that uses it."""

from dataclasses import replace
from pathlib import Path

from finetune.config.schema import Config, TaskConfig
from finetune.example import Example, ImageRef, Message
from finetune.report.run_facts import Facts
from finetune.rundir import RunDir

NARROW = "\u202f"
"""Stands before a percent sign."""
MINUS = "\u2212"


def score(value, low=None, high=None):
    """A metric with its interval; by default it is 0.1 to either side."""
    return {"value": value, "low": value - 0.1 if low is None else low, "high": value + 0.1 if high is None else high}


def pair(difference, low, high, **changes):
    """A paired difference on 100 single images, 12 to 5."""
    counts = {"b": 12, "c": 5, "p": 0.143, "n": 100, "groups": 100, "discordant_groups": 17}
    return {"metric": "accuracy", "difference": difference, "low": low, "high": high} | counts | changes


def comparison(**changes):
    """Tuned, base and a rival on 100 images."""
    found = {
        "n": 100,
        "groups": 100,
        "labels": ["good", "pit"],
        "models": {
            "base": {"accuracy": score(0.5)},
            "rival": {"accuracy": score(0.7)},
            "tuned": {"accuracy": score(0.8)},
        },
        "outcomes": {who: {"correct": 60, "wrong": 40} for who in ("base", "rival", "tuned")},
        "pairs": {"tuned-base": pair(0.3, 0.2, 0.4), "tuned-rival": pair(0.1, -0.02, 0.22)},
        "decision": {"verdict": "not_enough_evidence", "reason": "Too few.", "rule": {"baseline": "rival"}}
        | {"rule_sha256": "ab" * 32, "looks": 1},
        "modes": {},
    }
    return found | changes


def config(**evaluate):
    """The default configuration with two labels and fields of `evaluate` replaced."""
    base = Config()
    return replace(base, task=TaskConfig(labels=("good", "pit")), evaluate=replace(base.evaluate, **evaluate))


def summary(**changes):
    """What `prepare` counted."""
    return {
        "read": 1210,
        "quarantined": 10,
        "kept": 1200,
        "by_split": {"train": 1000, "val": 100, "test": 100},
        "labels": ["good", "pit"],
    } | changes


def examples(count=3, question="Is it good?"):
    """`count` items of their own groups, labels in turn."""
    return tuple(
        Example(f"part{n}", (ImageRef(f"{n}.png"),), ("good", "pit")[n % 2], f"part{n}", (Message("user", question),))
        for n in range(count)
    )


def facts(root=Path("absent"), **changes):
    """Facts with fields replaced; files are looked for below `root`."""
    run = RunDir(root)
    given = {
        "config": config(),
        "run": run,
        "comparison": comparison(),
        "metrics": {"models": {}},
        "panels": {},
        "summary": summary(),
        "status": {"started": "2026-11-02T08:00:00Z", "versions": {"torch": "2.14.1"}, "git": None},
        "parts": tuple(run.parts(0)),
        "examples": examples(),
    }
    return Facts(**(given | changes))


def models(**details):
    """`metrics.json` of models."""
    return {"models": details}
