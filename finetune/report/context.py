"""Gathers every block of the report from the files of a run, by the names that the templates use."""

from typing import Any

from finetune.config.schema import Config
from finetune.report import (
    answer_flow,
    calibration,
    charts,
    costs,
    deployment,
    limits,
    provenance,
    regressions,
    results,
    verdict_page,
    wording,
)
from finetune.report.run_facts import Facts, gather
from finetune.rundir import RunDir, now

__all__ = ["blocks", "gather"]


def blocks(config: Config, run: RunDir, facts: Facts) -> dict[str, Any]:
    """Everything but the gallery. What has no data is empty: its template leaves it out or says why."""
    comparison = facts.comparison
    margin = config.evaluate.decision.margin if facts.rival else None
    return {
        "words": wording,
        "recipe": config.recipe or "custom configuration",
        "date": str(facts.status.get("started", now()))[:10],
        "run_name": run.root.name,
        "comparison": comparison,
        "order": facts.order,
        "rival": facts.rival,
        "front": verdict_page.front(facts),
        "differences": charts.differences(comparison, facts.order, margin),
        "margin": margin,
        "threshold": config.evaluate.threshold,
        "criteria": results.criteria(facts),
        "guards": results.guards(facts),
        "fairness": comparison.get("fairness") or [],
        "flow": answer_flow.flow(facts),
        "columns": wording.columns(comparison),
        "headline": results.headline(facts),
        "panels": charts.intervals(comparison, results.shown_metrics(facts), facts.order),
        "modes": results.modes(facts),
        "confusions": results.confusions(facts),
        "classes": results.classes(facts),
        "subgroups": results.subgroups(facts),
        "subgroup_metric": results.subgroup_metric(facts),
        "calibrations": calibration.calibrations(facts),
        "selections": calibration.selections(facts),
        "speeds": costs.speeds(facts),
        "mistakes": costs.mistakes(facts),
        "in_use": costs.in_use(facts),
        "declared": costs.declared(facts),
        "prices": costs.prices(facts),
        "break_even": costs.break_even(facts),
        "general": regressions.general(facts),
        "refusals": regressions.refusals(facts),
        "panel_notes": regressions.notes(facts),
        "references": regressions.references(facts),
        "learning_curve": regressions.curve(facts),
        "leaks": regressions.leaks(facts),
        "tested": provenance.models(facts),
        "questions": provenance.questions(facts),
        "different_questions": provenance.asked_differently(facts),
        "pack": provenance.pack(facts),
        "made": provenance.made(facts),
        "curves": provenance.curves(facts.parts),
        "components": provenance.components(facts),
        "data": facts.summary,
        "split_table": provenance.split_table(facts.summary),
        "quarantined": provenance.quarantined(facts),
        "folds": facts.detail("tuned").get("folds") or {},
        "aspects": deployment.aspects(facts) if "tuned" in comparison["models"] else [],
        "egress": deployment.egress(facts),
        "live": config.baseline.kind in ("openai_compatible", "any_llm"),
        "network": config.network,
        "limits": limits.limits(facts),
        "config_text": run.config_file.read_text(encoding="utf-8") if run.config_file.exists() else "",
    }
