"""The verdict: may the tuned model replace the one in use? Everything that is not settled errs against "replace"."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from finetune import stats
from finetune.config.schema import Config
from finetune.evaluation import criteria, guards
from finetune.evaluation.criteria import Case, Criterion
from finetune.evaluation.pairing import sides
from finetune.rundir import Json, RunDir, now, sha256_file

ENOUGH_GROUPS = 20
"""Groups with a disagreement below which an interval over groups carries no decision."""


@dataclass(frozen=True)
class Verdict:
    """What is decided, why, and what each criterion says.

    Attributes:
        verdict: replace, replace_with_review, keep or not_enough_evidence.
        qualifier: measurably_worse or superior, beside replace alone.
        needed: items and groups of which a test like this one would settle the open comparison, or None.
    """

    verdict: str
    qualifier: str | None
    reason: str
    needed: dict[str, int] | None
    criteria: list[Criterion]
    guards: list[Json]


def decide(case: Case) -> Verdict:
    """Judges every criterion, then takes the first verdict whose needed criteria all pass.

    The table of criteria alone decides (`criteria.verdict`); an open criterion never counts as passed. `replace` with
    the upper bound under 0 is `measurably_worse`, with the lower bound above 0 (asked only after all else has passed:
    fixed sequence) `superior`. A baseline near chance, answers below the coverage floor, or no margin: no verdict.
    """
    held = _guards(case)
    if case.replaced is None:
        judged = criteria.assigned([*_guard_criteria(held), *criteria.alone(case)])
        return Verdict(criteria.verdict(judged), None, _no_baseline(case), None, judged, held)
    judged = criteria.all_of(case)
    judged[1:1] = _guard_criteria(held)
    judged = criteria.assigned([*judged, criteria.selective_risk(case), criteria.certainly_worse(judged)])
    by_name = {row.name: row for row in judged}
    needed = _needed(case, by_name["noninferior"], held)
    verdict = criteria.verdict(judged)
    blocked = _blocked(by_name)
    if blocked:
        return Verdict(verdict, None, blocked, needed, judged, held)
    qualifier = _qualifier(by_name["noninferior"]) if verdict == "replace" else None
    settled = verdict in ("replace", "keep")
    return Verdict(verdict, qualifier, _reason(case, verdict, judged), None if settled else needed, judged, held)


def _guards(case: Case) -> list[Json]:
    if case.candidate not in case.deployed:
        return []
    return [
        guards.check(case.test, case.candidate, case.tuned, name, floor)
        for name, floor in guards.declared(case.evaluate.guards).items()
    ]


def _guard_criteria(held: Sequence[Json]) -> list[Criterion]:
    return [
        Criterion(
            f"guard {row['name']}",
            f"Is {row['name']} certain to reach its floor?",
            row["status"],
            row["value"],
            row["lower"],
            row["upper"],
            row["floor"],
            f"{row['n']} items in {row['groups']} units"
            + (f"; about {row['needed']:,} such items would be needed" if row["needed"] else ""),
        )
        for row in held
    ]


def _blocked(by_name: dict[str, Criterion]) -> str:
    """Why there is no verdict either way, or an empty text."""
    if by_name["margin"].status != "pass":
        return (
            "No margin was declared before the evaluation, so there is no rule by which one model could replace "
            "another. Set evaluate.decision.margin to the largest acceptable loss."
        )
    if by_name["coverage"].status != "pass":
        return f"Too few questions were answered for a verdict: {by_name['coverage'].detail}."
    assay = by_name["assay_sensitivity"]
    if assay.status != "pass":
        return f"It is not proven that the baseline beats chance, so to match it proves nothing ({assay.detail})."
    return ""


def _qualifier(claim: Criterion) -> str | None:
    assert claim.low is not None
    assert claim.high is not None
    return "measurably_worse" if claim.high < 0 else "superior" if claim.low > 0 else None


def _reason(case: Case, verdict: str, judged: Sequence[Criterion]) -> str:
    claim = next(row for row in judged if row.name == "noninferior")
    metric = case.test.metric.replace("_", " ")
    measured = (
        f"no item shows a difference to {case.baseline} in {metric}"
        if claim.value is None or claim.low is None or claim.high is None
        else f"the difference to {case.baseline} in {metric} is {100 * claim.value:+.1f} points "
        f"(95 % interval {100 * claim.low:+.1f} to {100 * claim.high:+.1f}, margin {-100 * (claim.bound or 0):g})"
    )
    open_ = "; ".join(
        f"{row.name}: {(row.detail or row.status).removesuffix('.')}"
        for row in judged
        if criteria.REPLACE in row.needed_for and row.status != "pass"
    )
    if verdict == "replace":
        return f"Every criterion of the rule is met: {measured}."
    if verdict == "replace_with_review":
        review = next(row for row in judged if row.name == "selective_risk")
        return f"With people deciding what the model hands over: {review.detail}. By itself it is not enough: {open_}."
    if verdict == "keep":
        return f"The rule is broken for certain: {measured}; {open_}."
    return f"The rule is neither met nor broken: {measured}. Open: {open_}."


def _no_baseline(case: Case) -> str:
    """Why there is no verdict on replacing anything, and what can be said instead."""
    missing = "No proprietary baseline was evaluated, so whether the tuned model may replace one is left open."
    if case.candidate not in case.deployed:
        missing = f"{case.candidate} was not evaluated, so there is nothing that could replace a model."
    elif case.baseline is not None:
        missing = (
            f"{case.baseline} was not evaluated (evaluate.models), so whether the tuned model may replace it is open."
        )
    if not {"tuned", "base"} <= set(case.deployed):
        return missing
    laid = sides(case.deployed["tuned"], case.deployed["base"], case.test.metric, case.test.positive)
    if not laid.first:
        return missing
    found = stats.paired_difference(laid.first, laid.second, laid.groups, laid.weights, case.test.seed)
    said = "is better than" if found.low > 0 else "is worse than" if found.high < 0 else "is not proven to differ from"
    if found.groups != found.n and found.discordant_groups < ENOUGH_GROUPS:
        return missing + (
            f" The tuned model and its base disagree in only {found.discordant_groups} of {found.groups} groups; below "
            f"{ENOUGH_GROUPS} such an interval can be too narrow."
        )
    return missing + f" The tuned model {said} its base."


def _needed(case: Case, claim: Criterion, held: Sequence[Json]) -> dict[str, int] | None:
    """How large a test would be, at the disagreement seen here and no true difference, to settle what is open.

    Items for non-inferiority with 80 % power, times the design effect that shows in the width of the interval; at least
    as many groups as it takes to see 20 with a disagreement; and the items that open guards need.
    """
    margin = case.evaluate.decision.margin
    wanted = 0
    groups = len({row.group for row in case.tuned})
    size = len(case.tuned) / groups
    if margin and claim.status == "inconclusive" and claim.low is not None and claim.high is not None:
        assert case.replaced is not None
        laid = sides(case.tuned, case.replaced, case.test.metric, case.test.positive)
        n = len(laid.first)
        b = sum(a and not z for a, z in zip(laid.first, laid.second, strict=True))
        c = sum(z and not a for a, z in zip(laid.first, laid.second, strict=True))
        low, high = stats.tango(b, c, n)
        effect = max(1.0, ((claim.high - claim.low) / (high - low)) ** 2)
        discordance = max(b + c, 1) / n
        wanted = math.ceil((stats.noninferiority_n(margin, discordance) or 0) * effect * len(case.tuned) / n)
        if size > 1:
            parts = {g for g, a, z in zip(laid.groups, laid.first, laid.second, strict=True) if a != z}
            wanted = max(wanted, math.ceil(ENOUGH_GROUPS * groups / max(1, len(parts)) * size))
    for row in held:
        if row["status"] == "inconclusive" and row["needed"]:
            wanted = max(wanted, math.ceil(row["needed"] * len(case.tuned) / max(1, row["n"])))
    if not wanted:
        return None
    return {"items": wanted, **({"groups": math.ceil(wanted / size)} if size > 1 else {})}


def scope(config: Config, run: RunDir, runtime: Json) -> Json:
    """What a verdict holds for; a change of any of it ends the verdict.

    Args:
        config: the settings of the run.
        run: the run, for the weights that were evaluated.
        runtime: what only the stage knows, such as the device.
    """
    weights = [part.weights for part in run.parts(config.data.folds) if part.weights.is_file()]
    today = date.fromisoformat(now()[:10])
    return {
        "recipe": config.recipe,
        "device": config.hardware.device,
        "precision": config.train.precision,
        "quantisation": config.method.quantise,
        "model": "local folder" if config.model.path else config.model.id,
        "revision": config.model.revision,
        "artefact": [sha256_file(path) for path in weights],
        "versions": run.status().get("versions", {}),
        "dates": {"evaluated": today.isoformat()},
        **runtime,
        "expires": (today + timedelta(days=config.evaluate.decision.valid_days)).isoformat(),
    }
