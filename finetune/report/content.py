"""Gathers every block of the report from the files of a run, by the names that the templates use."""

from typing import Any

from finetune.config import Config
from finetune.report import charts, confidence, deployment, flow, front, limits, money, panels, results, tested, words
from finetune.report.facts import Facts, gather
from finetune.rundir import RunDir, now

__all__ = ["blocks", "gather"]


def blocks(config: Config, run: RunDir, facts: Facts) -> dict[str, Any]:
    """Everything but the gallery. What has no data is empty: its template leaves it out or says why."""
    comparison = facts.comparison
    margin = config.evaluate.decision.margin if facts.rival else None
    return {
        "words": words,
        "recipe": config.recipe or "custom configuration",
        "date": str(facts.status.get("started", now()))[:10],
        "run_name": run.root.name,
        "comparison": comparison,
        "order": facts.order,
        "rival": facts.rival,
        "front": front.front(facts),
        "differences": charts.differences(comparison, facts.order, margin),
        "margin": margin,
        "threshold": config.evaluate.threshold,
        "criteria": results.criteria(facts),
        "guards": results.guards(facts),
        "fairness": comparison.get("fairness") or [],
        "flow": flow.flow(facts),
        "columns": words.columns(comparison),
        "headline": results.headline(facts),
        "panels": charts.intervals(comparison, results.shown_metrics(facts), facts.order),
        "modes": results.modes(facts),
        "confusions": results.confusions(facts),
        "classes": results.classes(facts),
        "subgroups": results.subgroups(facts),
        "subgroup_metric": results.subgroup_metric(facts),
        "calibrations": confidence.calibrations(facts),
        "selections": confidence.selections(facts),
        "speeds": money.speeds(facts),
        "mistakes": money.mistakes(facts),
        "in_use": money.in_use(facts),
        "declared": money.declared(facts),
        "prices": money.prices(facts),
        "break_even": money.break_even(facts),
        "general": panels.general(facts),
        "refusals": panels.refusals(facts),
        "panel_notes": panels.notes(facts),
        "references": panels.references(facts),
        "learning_curve": panels.curve(facts),
        "leaks": panels.leaks(facts),
        "tested": tested.models(facts),
        "questions": tested.questions(facts),
        "different_questions": tested.asked_differently(facts),
        "pack": tested.pack(facts),
        "made": tested.made(facts),
        "curves": tested.curves(facts.parts),
        "components": tested.components(facts),
        "data": facts.summary,
        "split_table": tested.split_table(facts.summary),
        "quarantined": tested.quarantined(facts),
        "folds": facts.detail("tuned").get("folds") or {},
        "aspects": deployment.aspects(facts) if "tuned" in comparison["models"] else [],
        "egress": deployment.egress(facts),
        "live": config.baseline.kind in ("openai_compatible", "any_llm"),
        "network": config.network,
        "limits": limits.limits(facts),
        "config_text": run.config_file.read_text(encoding="utf-8") if run.config_file.exists() else "",
    }
