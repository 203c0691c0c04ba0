"""Cross-field checks of `evaluate.*` and `baseline.*`: a rule that cannot be applied is refused at the door."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from finetune import plugins
from finetune.config.schema import RIVALS, BaselineConfig, Config, EvaluateConfig

OWN = (*RIVALS, "predictions", "generated", "validation", "metrics", "comparison", "panels")
"""Words that mean something else in the files of `eval/`."""
METRICS = ("accuracy", "coverage", "sensitivity", "specificity", "precision")
"""What a guard may be about: shares of items, each right or wrong by itself."""
COSTS = ("miss", "false_alarm", "item", "review")


def problems(config: Config) -> list[str]:
    """Every mistake in what is compared and by which rule, worded for the user."""
    labels = config.task.labels
    return [
        *_models(config),
        *_adapter(config),
        *_shares(config.evaluate),
        *_positive(config.evaluate, labels, config.data.tiles.empty),
        *_guards(config.evaluate, labels),
        *_weights(config.evaluate, labels),
        *_unit(config.evaluate, config.data.tiles.size),
        *_baseline(config.baseline),
    ]


def _models(config: Config) -> Iterator[str]:
    models, baseline = config.evaluate.models, config.baseline
    menu = [*RIVALS, *([baseline.name] if baseline.kind != "none" else [])]
    for who in models:
        if who not in menu and not who.startswith("predictions:"):
            yield f"evaluate.models: {plugins.unknown('model', who, [*menu, 'predictions:PATH'])}"
        elif who == "predictions:":
            yield "evaluate.models: predictions: needs a file, as in predictions:answers.jsonl"
    if not models or len(set(models)) < len(models):
        yield f"evaluate.models: got [{', '.join(models)}], expected at least one, each once"
    primary = config.evaluate.primary_baseline
    if primary == "tuned":
        yield "evaluate.primary_baseline: tuned is what would replace it; name another model"
    elif primary is not None and primary not in (*models, *menu):
        yield f"evaluate.primary_baseline: {plugins.unknown('model', primary, [*menu, *models])}"


def _adapter(config: Config) -> Iterator[str]:
    if config.model.adapter is not None:
        for stage in (stage for stage in ("train", "export") if stage in config.stages):
            yield (
                f"model.adapter: an adapter from elsewhere is evaluated instead of training one, so {stage} has no "
                "place among the stages; use stages=[prepare,evaluate,report]"
            )


def _shares(evaluate: EvaluateConfig) -> Iterator[str]:
    decision = evaluate.decision
    for name, value in (
        ("decision.margin", decision.margin),
        ("decision.floor", decision.floor),
        ("threshold", evaluate.threshold),
        ("risk_target", evaluate.risk_target),
    ):
        if value is not None and not 0 < value < 1:
            hint = f"; 3 points are 0.03, so {value / 100:g}?" if 1 <= value < 100 else ""
            yield f"evaluate.{name}: got {value:g}, expected a share above 0 and below 1{hint}"
    if not 0 <= decision.min_coverage <= 1:
        yield f"evaluate.decision.min_coverage: got {decision.min_coverage:g}, expected a share from 0 to 1"
    if decision.valid_days < 1:
        yield f"evaluate.decision.valid_days: got {decision.valid_days}, expected at least 1"
    if evaluate.batch_size <= 0:
        yield f"evaluate.batch_size: got {evaluate.batch_size:g}, expected more than 0"


def _positive(evaluate: EvaluateConfig, labels: tuple[str, ...], negative: str | None) -> Iterator[str]:
    if evaluate.positive is not None:
        if labels and evaluate.positive not in labels:
            yield f"evaluate.positive: {plugins.unknown('label', evaluate.positive, labels)}"
        return
    needing = {
        f"evaluate.decision.metric={evaluate.decision.metric}": evaluate.decision.metric
        in ("sensitivity", "specificity"),
        "evaluate.threshold": evaluate.threshold is not None,
        "evaluate.prevalence": bool(evaluate.prevalence),
        f"evaluate.aggregate={evaluate.aggregate}": evaluate.aggregate == "max"
        or (evaluate.aggregate == "any" and negative is None),
    }
    for what, needed in needing.items():
        if needed:
            yield f"{what} needs evaluate.positive=LABEL, the label that it is about"


def _guards(evaluate: EvaluateConfig, labels: tuple[str, ...]) -> Iterator[str]:
    form = "expected METRIC or METRIC.LABEL with {min_lower: BOUND}, as in sensitivity.defective={min_lower:0.9}"
    for name, value in _leaves(evaluate.guards, ""):
        here = f"evaluate.guards.{name}"
        metric, _, label = name.partition(".")
        if not isinstance(value, Mapping) or set(value) != {"min_lower"}:
            yield f"{here}: got {value!r}, {form}"
            continue
        bound = value["min_lower"]
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not 0 < bound < 1:
            yield f"{here}.min_lower: got {bound!r}, expected a share above 0 and below 1"
        if metric not in METRICS:
            yield f"{here}: {plugins.unknown('metric', metric, METRICS)}"
        elif metric in ("accuracy", "coverage"):
            if label:
                yield f"{here}: {metric} is about all labels; leave .{label} out, or take sensitivity.{label}"
        elif label and labels and label not in labels:
            yield f"{here}: {plugins.unknown('label', label, labels)}"
        elif not label and evaluate.positive is None:
            yield f"{here}: whose {metric}? Write {metric}.LABEL, or set evaluate.positive"


def _leaves(tree: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    """Guards by their dotted name, whether the keys were nested or dotted."""
    for name, value in tree.items():
        here = f"{where}.{name}" if where else name
        if isinstance(value, Mapping) and value and all(isinstance(inner, Mapping) for inner in value.values()):
            yield from _leaves(value, here)
        else:
            yield here, value


def _weights(evaluate: EvaluateConfig, labels: tuple[str, ...]) -> Iterator[str]:
    shares = evaluate.prevalence
    if shares:
        total = sum(shares.values())
        if abs(total - 1) > 1e-6:
            yield f"evaluate.prevalence: the shares sum to {total:g}, expected 1; every label needs its share"
        if min(shares.values()) < 0:
            yield "evaluate.prevalence: a share is below 0"
        for label in (label for label in shares if labels and label not in labels):
            yield f"evaluate.prevalence.{label}: {plugins.unknown('label', label, labels)}"
        missing = [label for label in labels if label not in shares]
        if missing:
            yield f"evaluate.prevalence: has no share for {', '.join(map(repr, missing))} (0 is a share)"
    for kind, cost in evaluate.costs.items():
        if kind not in COSTS:
            yield f"evaluate.costs.{kind}: {plugins.unknown('cost', kind, COSTS)}"
        elif cost < 0:
            yield f"evaluate.costs.{kind}: got {cost:g}, expected 0 or more"
    if evaluate.costs and not shares:
        yield "evaluate.costs needs evaluate.prevalence: what a thousand parts cost depends on how many are bad"


def _unit(evaluate: EvaluateConfig, tile: int | None) -> Iterator[str]:
    if evaluate.aggregate == "nms" and tile is None:
        yield "evaluate.aggregate=nms puts boxes of tiles together; it needs data.tiles.size"
    elif evaluate.unit == "group" and evaluate.aggregate is None:
        yield "evaluate.unit=group needs evaluate.aggregate=any, max or vote: how several images make one decision"
    elif evaluate.unit == "image" and evaluate.aggregate is not None and tile is None:
        yield f"evaluate.aggregate={evaluate.aggregate} is for evaluate.unit=group; leave it out or set the unit"


def _baseline(baseline: BaselineConfig) -> Iterator[str]:
    if not re.fullmatch("[a-z0-9_]+", baseline.name):
        yield f"baseline.name: got {baseline.name!r}, expected small letters, digits and _ alone"
    elif baseline.name in OWN:
        yield f"baseline.name: {baseline.name!r} already means something else here; choose another"
    for name, given in (("model", baseline.model), ("base_url", baseline.base_url), ("path", baseline.path)):
        if given is None and name in NEEDS[baseline.kind]:
            yield f"baseline.{name}: baseline={baseline.kind} needs it"
    if baseline.base_url is not None and not re.match("https?://.", baseline.base_url):
        yield f"baseline.base_url: got {baseline.base_url!r}, expected http://HOST:PORT/v1 or https://..."
    if baseline.kind == "any_llm" and baseline.model is not None and "/" not in baseline.model:
        yield f"baseline.model: got {baseline.model!r}, expected PROVIDER/MODEL"
    for name, number, least in (
        ("max_tokens", baseline.max_tokens, 1),
        ("retries", baseline.retries, 0),
        ("rate_per_min", baseline.rate_per_min, 1),
        ("timeout_s", baseline.timeout_s, 0.001),
        ("max_side", 1 if baseline.max_side is None else baseline.max_side, 1),
    ):
        if number < least:
            yield f"baseline.{name}: got {number:g}, expected at least {least:g}"
    if not baseline.shots or min(baseline.shots) < 0:
        yield f"baseline.shots: got {list(baseline.shots)}, expected at least one number, each 0 or more"


NEEDS = {"none": (), "recorded": ("path",), "openai_compatible": ("base_url", "model"), "any_llm": ("model",)}
"""Kind of baseline -> the keys without which it cannot be asked."""
