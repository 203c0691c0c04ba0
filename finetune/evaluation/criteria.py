"""The criteria of the verdict, one by one. Each is passed, failed or left open; what was not asked for says so."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from finetune import stats
from finetune.config.schema import EvaluateConfig
from finetune.evaluation import guards, selective
from finetune.evaluation.guards import Status
from finetune.evaluation.pairing import ANSWERED, Sides, Test, sides
from finetune.example import Prediction
from finetune.rundir import Json

REPLACE, REVIEW, KEEP = VERDICTS = ("replace", "replace_with_review", "keep")
"""Verdicts that need something, in the order in which they are tried; without any it is `not_enough_evidence`."""
OPTIONAL = ("floor", "beats_linear", "both_modes")
"""Needed where they are asked: a floor where one is declared, two answering modes where there are two."""
NEEDED_FOR = {
    "baseline_compared": VERDICTS,
    "margin": VERDICTS,
    "coverage": VERDICTS,
    "assay_sensitivity": VERDICTS,
    "fair_baseline": (REPLACE, REVIEW),
    "guard": (REPLACE, REVIEW),
    "selective_risk": (REVIEW,),
    "certainly_worse": (KEEP,),
}
"""Criterion (a guard by its first word) -> verdicts that need it; every other one is needed for `replace`."""
NEVER_ABSENT = {
    REPLACE: {
        *("margin", "coverage", "assay_sensitivity", "fair_baseline"),
        *("noninferior", "beats_majority", "failures_as_right"),
    },
    REVIEW: {"margin", "coverage", "assay_sensitivity", "fair_baseline", "selective_risk"},
    KEEP: {"margin", "coverage", "assay_sensitivity", "certainly_worse"},
}
"""Verdict -> criteria without which a table does not allow it, whatever the others say."""


@dataclass(frozen=True)
class Case:
    """Everything a verdict is made from, one row a unit of decision.

    Attributes:
        test: what was asked.
        deployed: model -> answers in the mode in which it would be deployed.
        generated: model -> answers in the other mode.
        evaluate: the rule.
        baseline: the model to be replaced, or None.
        candidate: the model that would replace it.
        validation: model -> answers on validation.
        fairness: rows of the fair-baseline check.
    """

    test: Test
    deployed: Mapping[str, Sequence[Prediction]]
    generated: Mapping[str, Sequence[Prediction]]
    evaluate: EvaluateConfig
    baseline: str | None
    candidate: str = "tuned"
    validation: Mapping[str, Sequence[Prediction]] = field(default_factory=dict)
    fairness: tuple[Json, ...] = ()

    @property
    def tuned(self) -> Sequence[Prediction]:
        """Answers of the candidate."""
        return self.deployed[self.candidate]

    @property
    def replaced(self) -> Sequence[Prediction] | None:
        """Answers of the model to be replaced, where both are there."""
        both = self.candidate in self.deployed and self.baseline in self.deployed and self.baseline != self.candidate
        return self.deployed[str(self.baseline)] if both else None

    @property
    def rival_metric(self) -> str:
        """Metric against rivals that always say the same: their sensitivity or specificity alone may be perfect."""
        metric = self.test.metric
        return metric if metric in ("accuracy", "balanced_accuracy") else "balanced_accuracy"


@dataclass(frozen=True)
class Criterion:
    """One line of the verdict.

    Attributes:
        question: what it asks, for a reader who signs.
        value: the estimate, with `low` and `high` its 95 % interval, where there is one.
        bound: what the interval is held against.
        detail: what was found, in words.
        needed_for: verdicts that are not given unless this one is `pass`.
    """

    name: str
    question: str
    status: Status
    value: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float | None = None
    detail: str = ""
    needed_for: tuple[str, ...] = ()


def assigned(rows: Iterable[Criterion]) -> list[Criterion]:
    """The same rows, each with the verdicts that need it."""
    return [replace(row, needed_for=_needed_for(row)) for row in rows]


def _needed_for(row: Criterion) -> tuple[str, ...]:
    if row.name in OPTIONAL and row.status == "not_asked":
        return ()
    return NEEDED_FOR.get(row.name.partition(" ")[0], (REPLACE,))


def verdict(rows: Sequence[Criterion]) -> str:
    """The first verdict whose needed criteria are all there and all `pass`; else `not_enough_evidence`."""
    for name in VERDICTS:
        needed = [row for row in rows if name in row.needed_for]
        there = NEVER_ABSENT[name] <= {row.name for row in needed}
        if there and all(row.status == "pass" for row in needed):
            return name
    return "not_enough_evidence"


def alone(case: Case) -> list[Criterion]:
    """What can be asked of the candidate without a model to be replaced."""
    if case.candidate not in case.deployed:
        return [_compared(case)]
    rivals = [beats(case, "majority", required=True), beats(case, "linear", required=False)]
    return [floor(case, case.tuned), *rivals, _compared(case)]


def _compared(case: Case) -> Criterion:
    """Open, so that it stands in the way of every verdict."""
    question = "Were the candidate and the model to be replaced both evaluated?"
    lacking = [who for who in (case.candidate, case.baseline) if who is not None and who not in case.deployed]
    detail = f"{' and '.join(lacking)} not evaluated" if lacking else "no model to be replaced was named"
    return Criterion("baseline_compared", question, "inconclusive", detail=detail)


def all_of(case: Case) -> list[Criterion]:
    """Every criterion but the guards, in the order in which they are read."""
    assert case.replaced is not None
    return [
        noninferior(case),
        margin_declared(case),
        floor(case, case.tuned),
        beats(case, "majority", required=True),
        beats(case, "linear", required=False),
        both_modes(case),
        failures_as_right(case),
        assay_sensitivity(case),
        coverage(case),
        fair_baseline(case),
    ]


def against(case: Case, laid: Sides, margin: float | None) -> Criterion:
    """Whether the first of two sides is at most `margin` worse; the caller names it and asks the question."""
    if margin is None:
        return Criterion("", "", "not_asked", detail="no margin was declared (evaluate.decision.margin)")
    if not laid.first:
        return Criterion("", "", "inconclusive", bound=-margin, detail="no item that both answered")
    found = stats.paired_difference(laid.first, laid.second, laid.groups, laid.weights, case.test.seed)
    claim = stats.noninferiority(laid.first, laid.second, laid.groups, margin, laid.weights)
    status: Status = "inconclusive"
    if claim.enough:
        status = "pass" if claim.passes else "fail" if claim.upper < -margin else "inconclusive"
    where = f"{found.groups} units, {found.discordant_groups} with a disagreement"
    missing = f"; {laid.excluded} left out, never answered" if laid.excluded else ""
    told = f"{found.b} only the candidate had right, {found.c} only the other; {where}{missing}"
    if not claim.enough:
        told += f"; {claim.reason}"
    low, high = min(found.low, claim.lower), max(found.high, claim.upper)
    return Criterion("", "", status, found.difference, low, high, -margin, told)


def margin_declared(case: Case) -> Criterion:
    """The largest acceptable loss is part of the rule; without it there is nothing to judge by."""
    margin = case.evaluate.decision.margin
    detail = "no margin was declared (evaluate.decision.margin)" if margin is None else f"{100 * margin:g} points"
    question = "Was the largest acceptable loss fixed before the evaluation?"
    return Criterion("margin", question, "not_asked" if margin is None else "pass", detail=detail)


def certainly_worse(rows: Sequence[Criterion]) -> Criterion:
    """Whether the rule is broken for certain: worse by more than the margin, or a guard below its floor."""
    decisive = [row for row in rows if row.name == "noninferior" or row.name.startswith("guard ")]
    broken = [row.name for row in decisive if row.status == "fail"]
    status: Status = "fail" if all(row.status == "pass" for row in decisive) else "inconclusive"
    question = "Is it certain that the candidate is worse by more than the margin, or misses a guard?"
    return Criterion("certainly_worse", question, "pass" if broken else status, detail=", ".join(broken))


def noninferior(case: Case) -> Criterion:
    """The lower bound of tuned minus baseline lies above minus the margin."""
    assert case.replaced is not None
    found = against(case, _sides(case, case.tuned, case.replaced), case.evaluate.decision.margin)
    return replace(found, name="noninferior", question=f"Not worse than {case.baseline} by more than the margin?")


def failures_as_right(case: Case) -> Criterion:
    """The same, with every failure of the baseline counted as right, missing answers included."""
    assert case.replaced is not None
    metric, positive = case.test.metric, case.test.positive
    laid = sides(case.tuned, case.replaced, metric, positive, failures_right=True)
    failed = sum(row.outcome not in ANSWERED for row in case.replaced)
    found = against(case, laid, case.evaluate.decision.margin)
    question = f"Still not worse if all {failed} failures of {case.baseline} had been right answers?"
    return replace(found, name="failures_as_right", question=question)


def both_modes(case: Case) -> Criterion:
    """The same, with every guard and the floor, where the candidate answers by generation instead of by scoring."""
    assert case.replaced is not None
    question = "Does it hold in both answering modes, scored and generated?"
    if not case.test.labels and case.candidate not in case.generated:
        return Criterion("both_modes", question, "not_asked", detail="open answers can only be generated")
    if case.candidate not in case.generated:
        return Criterion("both_modes", question, "inconclusive", detail="the other mode was not evaluated")
    other = case.generated[case.candidate]
    found = against(case, _sides(case, other, case.replaced), case.evaluate.decision.margin)
    held = [
        guards.check(case.test, case.candidate, other, name, least)
        for name, least in guards.declared(case.evaluate.guards).items()
    ]
    asked: dict[str, Status] = {row["name"]: row["status"] for row in held} | {"floor": floor(case, other).status}
    states = {found.status, *asked.values()}
    worst: list[Status] = [status for status in ("fail", "inconclusive") if status in states]
    open_ = [name for name, status in asked.items() if status in worst]
    told = found.detail + (f"; not met when generated: {', '.join(open_)}" if open_ else "")
    return replace(found, name="both_modes", question=question, status=[*worst, found.status][0], detail=told)


def beats(case: Case, rival: str, required: bool) -> Criterion:
    """The candidate is better than something far cheaper: the lower bound of the difference lies above 0."""
    name, question = f"beats_{rival}", f"Better than {WORDS[rival]}?"
    if rival not in case.deployed:
        detail = f"{rival} was not evaluated" + (f"; add {rival} to evaluate.models" if required else "")
        return Criterion(name, question, "inconclusive" if required else "not_asked", bound=0.0, detail=detail)
    found = better(case, case.tuned, case.deployed[rival])
    return replace(found, name=name, question=question)


WORDS = {"majority": "always giving the commonest answer", "linear": "a linear model on the frozen vision tower"}


def better(case: Case, first: Sequence[Prediction], second: Sequence[Prediction]) -> Criterion:
    """Whether the lower bound of a difference lies above 0, on enough groups."""
    laid = sides(first, second, case.rival_metric, case.test.positive)
    return replace(against(case, laid, 0.0), bound=0.0)


def floor(case: Case, rows: Sequence[Prediction]) -> Criterion:
    """The metric of the candidate's own answers lies above an absolute floor, whoever it is compared with."""
    wanted, question = case.evaluate.decision.floor, "Above the absolute floor?"
    if wanted is None:
        return Criterion("floor", question, "not_asked", detail="no floor was declared (evaluate.decision.floor)")
    value, low, high = guards.bounds(rows, case.test)
    classes = case.test.metric == "balanced_accuracy"
    told = "bounds of a guard" + (", the mean of those of the classes, which hold all at once" if classes else "")
    return Criterion("floor", question, guards.held(low, high, wanted), value, low, high, wanted, told)


def assay_sensitivity(case: Case) -> Criterion:
    """The baseline is clearly better than chance: matching one that guesses would prove nothing."""
    assert case.replaced is not None
    metric = "balanced_accuracy" if case.test.labels else "accuracy"
    golds = [row.gold for row in case.replaced]
    guess = max(sorted(set(golds)), key=golds.count)  # any constant answer has the balanced accuracy 1 / K
    constant = [
        replace(row, answer=guess, outcome="correct" if row.gold == guess else "wrong") for row in case.replaced
    ]
    laid = sides(case.replaced, constant, metric, case.test.positive)
    found = replace(against(case, laid, 0.0), bound=0.0)
    question = f"Is {case.baseline} clearly better than chance, so that matching it means something?"
    return replace(found, name="assay_sensitivity", question=question)


def coverage(case: Case) -> Criterion:
    """Candidate and baseline answered enough of what they were asked."""
    assert case.replaced is not None
    wanted = case.evaluate.decision.min_coverage
    shares = {
        who: sum(row.outcome in ANSWERED for row in rows) / len(rows)
        for who, rows in ((case.candidate, case.tuned), (str(case.baseline), case.replaced))
    }
    told = ", ".join(f"{who} {100 * share:.1f} %" for who, share in shares.items())
    least = min(shares.values())
    question = "Did both answer enough of the questions?"
    return Criterion("coverage", question, "pass" if least >= wanted else "fail", least, bound=wanted, detail=told)


def fair_baseline(case: Case) -> Criterion:
    """The baseline was not handicapped: its own prompt, as many pixels, a living snapshot."""
    question = "Was the baseline given a fair chance?"
    states = [str(row["status"]) for row in case.fairness]
    if not states:
        return Criterion("fair_baseline", question, "inconclusive", detail="not checked")
    told = "; ".join(
        f"{row['check']}: {str(row['detail']).removesuffix('.')}" for row in case.fairness if row["status"] != "pass"
    )
    status: Status = "fail" if "fail" in states else "inconclusive" if "unknown" in states else "pass"
    return Criterion("fair_baseline", question, status, detail=told)


def _sides(case: Case, first: Sequence[Prediction], second: Sequence[Prediction]) -> Sides:
    return sides(first, second, case.test.metric, case.test.positive)


def selective_risk(case: Case) -> Criterion:
    """Among the answers that the model does not hand over, the error is below the target for certain."""
    question = "Is the error low enough if people decide what the model hands over?"
    target = case.evaluate.risk_target
    if target is None:
        return Criterion(
            "selective_risk", question, "not_asked", detail="no target was declared (evaluate.risk_target)"
        )
    found = selective.judge(case.tuned, case.validation.get(case.candidate, ()), target)
    detail = str(found["detail"])
    return Criterion("selective_risk", question, found["status"], found["risk"], None, found["upper"], target, detail)
