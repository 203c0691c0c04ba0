"""Speed, mistakes and money: measured, or from declared prices; where neither is there, that is said."""

import statistics

from finetune.report import wording
from finetune.report.run_facts import Facts
from finetune.rundir import Json

PER = 1000
"""Rates and costs are said for this many parts."""


def speeds(facts: Facts) -> list[Json]:
    """Per model: mean, median and 95th percentile of seconds an item, and items an hour."""
    told = []
    for who in facts.order:
        mean = facts.detail(who).get("seconds_per_item")
        taken = [row["seconds"] for row in facts.rows(who) if row.get("seconds") is not None]
        if who == "majority" or not mean or len(taken) < 2:
            continue
        late = statistics.quantiles(taken, n=20, method="inclusive")[-1]  # never above the slowest
        told.append(
            {
                "who": who,
                "mean": seconds(mean),
                "median": seconds(statistics.median(taken)),
                "late": seconds(late),
                "hourly": f"{3600 / mean:,.0f}",
            }
        )
    return told


def seconds(value: float) -> str:
    """`12 ms`, `1.4 s`."""
    if value < 0.001:
        return "under 1 ms"
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.1f} s"


def mistakes(facts: Facts) -> list[Json]:
    """Per model: misses and false alarms (overkill) with intervals, where a positive label is declared."""
    told = []
    for who in facts.order:
        scores = facts.comparison["models"][who]
        rates = {
            name: _complement(scores[metric])
            for name, metric in (("miss", "sensitivity"), ("overkill", "specificity"))
            if scores.get(metric) and scores[metric]["value"] is not None
        }
        if len(rates) == 2:
            told.append(
                {
                    "who": who,
                    **{name: f"{wording.percent(s['value'])} ({wording.interval(s)})" for name, s in rates.items()},
                }
            )
    return told


def _complement(score: Json) -> Json:
    return {"value": 1 - score["value"], "low": 1 - score["high"], "high": 1 - score["low"]}


def in_use(facts: Facts) -> list[Json]:
    """Per model: what happens to a thousand parts at the declared prevalence, and what that costs."""
    told = []
    for who in facts.order:
        found = facts.detail(who).get("prevalence")
        if not found:
            continue
        cost = facts.detail(who).get("cost") or {}
        row = {name: f"{PER * found[name]:.1f}" if found.get(name) is not None else "" for name in IN_USE}
        row |= {name: wording.percent(found[name]) if found.get(name) is not None else "" for name in ("ppv", "npv")}
        parts = ", ".join(f"{name.replace('_', ' ')} {value:,.2f}" for name, value in (cost.get("parts") or {}).items())
        total = f"{cost['per_thousand']:,.2f}" if cost.get("per_thousand") is not None else ""
        told.append({"who": who, **row, "cost": total, "parts": parts})
    return told


IN_USE = ("miss", "overkill", "review")


def declared(facts: Facts) -> str:
    """The declared shares of real use in words, or why there are none."""
    evaluate = facts.config.evaluate
    if not evaluate.prevalence:
        return (
            "The share of each class in real use was not declared (evaluate.prevalence), so nothing is said about real "
            "use: predictive values, mistakes a thousand parts and their cost would have to be invented."
        )
    shares = ", ".join(f"{label} {wording.percent(share)}" for label, share in evaluate.prevalence.items())
    priced = ", ".join(f"{name.replace('_', ' ')} {price:g}" for name, price in evaluate.costs.items())
    costs = f"Declared costs: {priced}." if priced else "No costs were declared (evaluate.costs), so none are computed."
    return f"Per {PER:,} parts in real use, at the declared shares: {shares}. {costs}"


def price_per_item(facts: Facts, who: str) -> float | None:
    """What one item cost: measured by the provider's prices, or declared for the machine of one's own."""
    usage = facts.detail(who).get("usage") or {}
    if usage.get("cost") is not None:
        return float(usage["cost"]) / int(facts.detail(who)["n"])
    return facts.config.evaluate.costs.get("item") if who == "tuned" else None


def prices(facts: Facts) -> list[Json]:
    """Per model: what a thousand items cost to ask, and where that figure comes from."""
    told = []
    for who in facts.order:
        price = price_per_item(facts, who)
        if price is None:
            continue
        usage = facts.detail(who).get("usage") or {}
        tokens = [
            f"{usage[key]:,.0f} {key.replace('_', ' ')}" for key in ("input_tokens", "output_tokens") if key in usage
        ]
        billed = usage.get("cost") is not None
        source = f"measured: {', '.join(tokens) or 'usage'} on {facts.detail(who)['n']:,} items" if billed else "config"
        told.append({"who": who, "cost": f"{PER * price:,.2f}", "source": source})
    return told


def break_even(facts: Facts) -> str:
    """After how many items one's own machine has paid for itself, as far as the declared prices allow."""
    if facts.rival is None:
        return ""
    own, other = price_per_item(facts, "tuned"), price_per_item(facts, facts.rival)
    rival = wording.who(facts.rival)
    if own is None or other is None:
        missing = [
            text
            for text, price in (
                ("evaluate.costs.item (one item on your machine)", own),
                (f"the price of {rival}", other),
            )
            if price is None
        ]
        return f"No break-even volume: {' and '.join(missing)} not known. Nothing is assumed in its place."
    if own >= other:
        return (
            f"There is no break-even volume: an item costs {own:.4g} on your own machine and {other:.4g} with {rival}."
        )
    saved = other - own
    return (
        f"Each item saves {saved:.4g} against {rival}. Every 1,000 of one-time cost (machine, labels, validation) "
        f"is earned back after {1000 / saved:,.0f} items."
    )
