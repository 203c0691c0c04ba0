"""`python -m finetune curve recipe=NAME [KEY=VALUE]...`: would more training photographs help?

Trains on 10, 25, 50 and 100 % of the training groups, each share a run of its own below `run.root` and each holding the
smaller ones, and evaluates every model on the same, whole test split. The same command continues where it was stopped.
Each share is a look at the test, and is entered in the ledger as one.
"""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import asdict

from finetune import stats
from finetune.config import compose
from finetune.config.schema import STAGES, BaselineConfig, Config
from finetune.data import source
from finetune.errors import ConfigError, IntegrityError
from finetune.pipeline import runner
from finetune.rundir import Json, RunDir, read_json, read_jsonl

SHARES = (0.1, 0.25, 0.5, 1.0)
NEEDED = ("prepare", "train", "evaluate")


def run(arguments: list[str]) -> None:
    """Runs the shares, writes `eval/curve.json` into the run of the whole and prints the table to standard output.

    Raises:
        ConfigError: a setting that each share must choose for itself, or a sealed test.
    """
    config = compose.compose(arguments)
    check(config)
    source.options(config.data)
    runs = {}
    for share in SHARES:
        chosen = at(config, share)
        runs[share] = RunDir(compose.run_folder(chosen), int(config.run.file_mode, 8))
        print(f"curve: {share:.0%} of the training groups in {runs[share].root}", file=sys.stderr)
        runner.execute(chosen, [*arguments, f"data.train_share={share}"])
    found = gather(config, runs)
    whole = runs[SHARES[-1]]
    with whole.lock():
        whole.record([whole.write_json(whole.curve, found)])
    print(table(found))
    print(f"curve: {whole.curve}", file=sys.stderr)


def check(config: Config) -> None:
    """Refuses what a curve sets itself, and what it would break.

    Raises:
        ConfigError: all of it, one line each.
    """
    compose.require_task(config)
    problems = []
    if config.run.dir is not None:
        problems.append("run.dir: every share is a run of its own; say run.root, the folder that holds them")
    if config.stages != STAGES:
        problems.append(f"stages: a curve runs {', '.join(NEEDED)}; leave stages out")
    if config.data.train_share != 1.0:
        problems.append(f"data.train_share: a curve sets it to {', '.join(map(str, SHARES))}; leave it out")
    if config.baseline.dry_run:
        problems.append("baseline.dry_run: a curve trains; say it to the run itself")
    if config.evaluate.sealed:
        problems.append(
            f"evaluate.sealed: a curve looks at the test {len(SHARES)} times. Leave sealed out, or draw the curve on "
            "data whose test is not the one that decides"
        )
    if problems:
        raise ConfigError("\n".join(problems))


def at(config: Config, share: float) -> Config:
    """The config of one share. Smaller shares ask the tuned model alone: nobody else depends on the share."""
    data = dataclasses.replace(config.data, train_share=share)
    chosen = dataclasses.replace(config, data=data, stages=NEEDED)
    if share == SHARES[-1]:
        return chosen
    evaluate = dataclasses.replace(config.evaluate, models=("tuned",), primary_baseline=None)
    return dataclasses.replace(chosen, evaluate=evaluate, baseline=BaselineConfig())


def gather(config: Config, runs: dict[float, RunDir]) -> Json:
    """Reads the curve off finished runs.

    Returns:
        `metric`; `points`: `share`, training `groups` and `images` (folds averaged), the `score` with its interval and
        the `run`; `base`, the untuned model's score where it was evaluated; `gain`, the paired difference of the last
        doubling.

    Raises:
        IntegrityError: two shares were not evaluated on the same test.
    """
    scores = {share: read_json(run.comparison)["models"] for share, run in runs.items()}
    whole = scores[SHARES[-1]]
    wanted = config.evaluate.decision.metric
    metric = wanted if wanted in whole["tuned"] else next(iter(whole["tuned"]))
    points = [
        {"share": share, **_size(config, run), "score": scores[share]["tuned"][metric], "run": run.root.name}
        for share, run in runs.items()
    ]
    half, full = (_answers(runs[share]) for share in SHARES[-2:])
    return {
        "schema": 1,
        "metric": metric,
        "points": points,
        "base": whole.get("base", {}).get(metric),
        "gain": _gain(config, metric, half, full),
    }


def _size(config: Config, run: RunDir) -> Json:
    """Training groups and images, the mean over folds where there are some."""
    parts = [list(read_jsonl(part.split("train"))) for part in run.parts(config.data.folds)]
    groups = sum(len({row["group"] for row in rows}) for rows in parts) / len(parts)
    return {"groups": round(groups), "images": round(sum(map(len, parts)) / len(parts))}


def _answers(run: RunDir) -> list[Json]:
    return list(read_jsonl(run.predictions("tuned")))


def _gain(config: Config, metric: str, half: Sequence[Json], full: Sequence[Json]) -> Json:
    """Paired difference, whole minus half, on the items that the metric counts."""
    if [(row["id"], row["gold"]) for row in half] != [(row["id"], row["gold"]) for row in full]:
        raise IntegrityError("the shares were evaluated on different tests; run the curve into a fresh run.root.")
    wanted = {"sensitivity": True, "specificity": False}.get(metric)
    kept = [n for n, row in enumerate(full) if wanted in (None, row["gold"] == config.evaluate.positive)]
    right = [[rows[n]["outcome"] == "correct" for n in kept] for rows in (full, half)]
    weights = stats.class_weights([full[n]["gold"] for n in kept]) if metric == "balanced_accuracy" else None
    groups = [full[n]["group"] for n in kept]
    found = stats.paired_difference(right[0], right[1], groups, weights, config.seed)
    reading = "more helped" if found.low > 0 else "more hurt" if found.high < 0 else "open"
    return {"from": SHARES[-2], "to": SHARES[-1], **asdict(found), "reading": reading}


ANSWERS = {
    "more helped": "the last doubling helped, so more photographs will probably help",
    "more hurt": "the last doubling made it worse: look for label errors or another kind of photograph among them",
    "open": "whether more photographs would help is open: the interval holds 0",
}


def table(found: Json) -> str:
    """The curve as text: share, training groups and images, score with its 95 % interval; then what its end says."""
    lines = [f"{'share':>6} {'groups':>8} {'images':>8}   {found['metric']} (95 % interval)"]
    if found["base"] is not None:
        lines.append(f"{'0 %':>6} {0:>8} {0:>8}   {_score(found['base'])}  (base)")
    for point in found["points"]:
        size = f"{point['share'] * 100:>4.0f} % {point['groups']:>8,} {point['images']:>8,}"
        lines.append(f"{size}   {_score(point['score'])}")
    gain = found["gain"]
    moved = f"{100 * gain['difference']:+.1f} points [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
    return "\n".join([*lines, f"50 % to 100 %: {moved}: {ANSWERS[gain['reading']]}."])


def _score(score: Json) -> str:
    return f"{100 * score['value']:5.1f} % [{100 * score['low']:.1f}, {100 * score['high']:.1f}]"
