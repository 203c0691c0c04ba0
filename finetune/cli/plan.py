"""`python -m finetune plan RUN | recipe=NAME [KEY=VALUE]... | n=N`: what a test set can show, before anything is spent.

Own keys, besides those of a run: `n` (items; without a run or recipe), `groups_of` (items a group, with `n`),
`disagreement` (share of items that exactly one of two models has right, 0.1), `margin` (default:
`evaluate.decision.margin`), `icc` (intra-class correlation of the disagreement within groups, 0.1), `power` (0.8).
"""

import dataclasses
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml
from tqdm import tqdm

from finetune import stats
from finetune.config import compose
from finetune.config.convert import to_dataclass
from finetune.config.schema import Config
from finetune.data import example_files, split, split_by
from finetune.data import source as dataset
from finetune.errors import ConfigError
from finetune.evaluation.guards import declared
from finetune.example import Example
from finetune.rundir import RunDir

HELP = "python -m finetune plan recipe=NAME, plan runs/NAME, or plan n=394 disagreement=0.1 margin=0.03"


@dataclasses.dataclass(frozen=True)
class Assumptions:
    """What is assumed of data and models that are not there yet; the keys of this verb."""

    n: int | None = None
    groups_of: int = 1
    disagreement: float = 0.1
    margin: float | None = None
    icc: float = 0.1
    power: float = 0.8

    def problems(self) -> list[str]:
        """What is out of range, in words."""
        limits: dict[str, tuple[float | None, float, float]] = {
            "disagreement": (self.disagreement, 0.0, 1.0),
            "margin": (self.margin, 0.0, 1.0),
            "power": (self.power, 0.0, 1.0),
        }
        found = [
            f"{name}: got {value}, expected more than 0 and less than 1"
            for name, (value, low, high) in limits.items()
            if value is not None and not low < value < high
        ]
        if not 0 <= self.icc <= 1:
            found.append(f"icc: got {self.icc}, expected 0..1")
        found += [
            f"{name}: got {value}, expected 1 or more"
            for name, value in (("n", self.n), ("groups_of", self.groups_of))
            if value is not None and value < 1
        ]
        return found


@dataclasses.dataclass(frozen=True)
class TestSet:
    """The test set that is planned with.

    Attributes:
        gold: label of each item; empty where only a number is known.
        groups: group of each item.
        source: where it comes from, in words.
        metric: the primary metric.
        positive: label that sensitivity is about, or None.
        guards: guard -> its floor.
    """

    __test__ = False  # not a test class, whatever its name makes pytest think

    gold: tuple[str, ...]
    groups: tuple[str, ...]
    source: str
    metric: str = "accuracy"
    positive: str | None = None
    guards: dict[str, float] = dataclasses.field(default_factory=dict)


def run(arguments: Sequence[str]) -> None:
    """Prints what a test set can show.

    Raises:
        ConfigError: the arguments do not say which test set, or a value is out of range.
        DataError: the source of the recipe cannot be read.
    """
    own, rest = _sort(arguments)
    config = None if own.n is not None else _config(rest)
    if own.n is not None and rest:
        raise ConfigError(f"plan n=... takes no run and no other key, got {' '.join(rest)}. Write {HELP}.")
    if config is None:
        names = tuple(str(i // own.groups_of) for i in range(own.n or 0))
        print("\n".join(lines(TestSet((), names, "the number given"), own)))
        return
    if own.groups_of != 1:
        raise ConfigError("groups_of goes with n; a run or recipe has groups of its own.")
    margin = own.margin if own.margin is not None else config.evaluate.decision.margin
    run_dir = RunDir(Path(rest[0])) if "=" not in rest[0] else RunDir(compose.run_folder(config))
    print("\n".join(lines(_test_set(config, run_dir), dataclasses.replace(own, margin=margin))))


def _sort(arguments: Sequence[str]) -> tuple[Assumptions, list[str]]:
    names = {entry.name for entry in dataclasses.fields(Assumptions)}
    mine, rest = {}, []
    for text in arguments:
        name, sep, value = text.partition("=")
        if sep and name in names:
            mine[name] = _value(name, value)
        else:
            rest.append(text)
    own = to_dataclass(mine, Assumptions)
    if found := own.problems():
        raise ConfigError("\n".join(found))
    return own, rest


def _value(name: str, text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: got {text!r}, expected a number") from error


def _config(rest: Sequence[str]) -> Config:
    if not rest:
        raise ConfigError(f"plan needs a recipe, a run or a number of items: {HELP}.")
    if "=" in rest[0]:
        config = compose.compose(rest)
        if not config.recipe and not config.data.path:
            raise ConfigError(f"plan needs recipe=NAME or data.path=FOLDER: {HELP}.")
        return config
    if len(rest) > 1:
        raise ConfigError(f"plan RUN takes the keys of plan alone, got {' '.join(rest[1:])}. Write {HELP}.")
    return compose.from_yaml(Path(rest[0]) / "config.yaml")


def _test_set(config: Config, run_dir: RunDir) -> TestSet:
    parts = [part.split("test") for part in run_dir.parts(config.data.folds)]
    if all(path.is_file() for path in parts):
        examples, source = [row for path in parts for row in example_files.read_split(path)], f"the run {run_dir.root}"
    else:
        examples, source = _from_source(config)
    rule = config.evaluate
    rows = [(example.target, example.group) for example in examples]
    if rule.unit == "group":
        rows = list(_per_group(rows, rule.positive).items())
        rows = [(label, group) for group, label in rows]
    return TestSet(
        gold=tuple(label for label, _ in rows),
        groups=tuple(group for _, group in rows),
        source=source,
        metric=rule.decision.metric,
        positive=rule.positive,
        guards=declared(rule.guards),
    )


def _per_group(rows: Sequence[tuple[str, str]], positive: str | None) -> dict[str, str]:
    """Group -> label of its one decision: positive where any item is, else that of its first item."""
    labels: dict[str, str] = {}
    for label, group in rows:
        if label == positive or group not in labels:
            labels[group] = label
    return labels


def _from_source(config: Config) -> tuple[list[Example], str]:
    """The examples that would be tested, without decoding an image; bad rows are left to `prepare`."""
    with tempfile.TemporaryDirectory() as folder:
        source = dataset.examples(config, Path(folder))
        shown = tqdm(source, "reading", unit=" rows", file=sys.stderr, leave=False, mininterval=0.5)
        rows = [row for row in shown if isinstance(row, Example)]
    items = [split.Item(row.id, row.group, row.target, split=row.split, row=row.row) for row in rows]
    if config.data.limit is not None:
        kept = split.limit(items, config.data.limit, config.data.split.salt)
        items = [item for item in items if item.group in kept]
    data = config.data
    folds = split.folds(items, data.folds, data.split) if data.folds else [split_by.chosen(items, data.split)]
    tested = {key for fold in folds for key, name in fold.splits.items() if name == "test"}
    how = f"{data.folds} folds" if data.folds else "its test split"
    return [row for row in rows if row.id in tested], f"the source ({how}; images not decoded yet)"


def lines(test: TestSet, assumed: Assumptions) -> list[str]:
    """The report, line by line: what the test set is worth, what it can show, what the guards need."""
    weights = stats.metric_weights(test.metric, test.gold, test.positive) if test.gold else None
    counted = [i for i in range(len(test.groups)) if weights is None or weights[i] > 0]
    if not counted:
        raise ConfigError(f"the test set of {test.source} has no item that {test.metric} is about; nothing to plan.")
    worth = 1 / sum(weights[i] ** 2 for i in counted) if weights else float(len(counted))
    sizes = list(Counter(test.groups[i] for i in counted).values())
    typical = sum(m * m for m in sizes) / len(counted)
    effect = stats.design_effect(typical, assumed.icc)
    independent = worth / effect
    grouped = len(sizes) < len(counted)
    uneven = worth < len(counted) - 1e-6
    told = f"{len(counted):,} items that {test.metric} is about" if weights else f"{len(counted):,} items"
    found = [f"Test set: {told}, from {test.source}"]
    if grouped:
        found.append(
            f"  in {len(sizes):,} groups; design effect {effect:.1f} at icc={assumed.icc:g} within groups of "
            f"{typical:.1f} (size-weighted)"
        )
    if grouped or uneven:
        found.append(f"  worth {independent:,.0f} independent items of equal weight")
    found.append(
        f"Assumed: exactly one of two models is right on {_percent(assumed.disagreement)} of items (disagreement=)"
    )
    found += [
        "",
        *_superiority(independent, assumed),
        "",
        *_noninferiority(sizes, independent, worth if uneven else None, assumed),
    ]
    if test.guards:
        found += ["", "Guards (Clopper-Pearson, one-sided 97.5 %)", *_guards(test)]
    return found


def _points(share: float) -> str:
    """A share in points, rounded up to a tenth: what is promised must be detectable."""
    return f"{math.ceil(1000 * share - 1e-9) / 10:.1f} points"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _superiority(independent: float, assumed: Assumptions) -> list[str]:
    gap = stats.mcnemar_detectable(int(independent), assumed.disagreement, assumed.power)
    title = f"Is one better? (exact McNemar, two-sided 5 %, power {_percent(assumed.power)})"
    if gap is None:
        return [title, f"  no difference can be shown; the largest possible is {_points(assumed.disagreement)}"]
    return [title, f"  a true difference of {_points(gap)} or more is found"]


def _noninferiority(sizes: Sequence[int], independent: float, worth: float | None, assumed: Assumptions) -> list[str]:
    """Lines on the claim; `worth` is the number of equal items where weights differ, else None."""
    if assumed.margin is None:
        return ["May one replace the other? No margin was given (margin= or evaluate.decision.margin)."]
    needed = stats.noninferiority_n(assumed.margin, assumed.disagreement, power=assumed.power)
    assert needed is not None  # the true gap is taken to be 0, above any -margin
    least, total, grouped = stats.ENOUGH_GROUPS, sum(sizes), len(sizes) < sum(sizes)
    chance = stats.noninferiority_power(independent, assumed.margin, assumed.disagreement)
    discordant = stats.discordant_groups(sizes, assumed.disagreement, assumed.icc)
    wanted = [len(sizes) * needed / independent, float(least)]
    found = [
        f"May one replace the other? (non-inferiority, margin {_points(assumed.margin)}, one-sided 2.5 %)",
        f"  {needed:,} independent items needed if both are alike; chance of passing now {_percent(chance)}",
    ]
    enough = chance >= assumed.power and len(sizes) >= least
    if grouped:
        found.append(f"  {discordant:.0f} of {len(sizes):,} groups are expected to hold a disagreement; {least} must")
        wanted.append(stats.groups_needed(least, discordant / len(sizes), assumed.power))
        enough &= discordant >= least
    if worth is not None:
        equal = assumed.disagreement * worth
        found.append(f"  the disagreements are expected to weigh as much as {equal:.0f} equal ones; {least} must")
        wanted.append(len(sizes) * stats.groups_needed(least, assumed.disagreement, assumed.power) / worth)
        enough &= equal >= least
    if enough:
        return [*found, "  enough, if both models are alike."]
    groups = math.ceil(max(wanted) - 1e-9)
    items = math.ceil(groups * total / len(sizes) - 1e-9)
    where = f" in {groups:,} groups" if grouped else ""
    return [*found, f"  NOT ENOUGH EVIDENCE IS LIKELY. You would need {items:,} items{where}."]


def _guards(test: TestSet) -> list[str]:
    found = []
    for name, floor in test.guards.items():
        metric, _, label = name.partition(".")
        positive = label or test.positive
        weights = stats.metric_weights(metric, test.gold, positive) or [1.0] * len(test.gold)
        groups = {group for group, weight in zip(test.groups, weights, strict=True) if weight > 0}
        count = sum(weight > 0 for weight in weights)
        least, some = stats.guard_n(floor), stats.guard_n(floor, (1 + floor) / 2)
        if least is None or some is None:
            found.append(f"  {name}: no test can show a floor of {floor:g}")
            continue
        short = ": NOT ENOUGH even without a miss" if len(groups) < least else ""
        found.append(
            f"  {name} of {floor:g}: {least:,} independent items without a miss, {some:,} with half the misses that it "
            f"allows; the test has {count:,} in {len(groups):,} groups{short}"
        )
    return found
