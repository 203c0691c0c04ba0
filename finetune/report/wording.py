"""Numbers in words: what terminal, report.html and report.md say about a comparison, said once."""

from collections.abc import Mapping, Sequence

from finetune.rundir import Json

ENOUGH_GROUPS = 20
"""Fewer groups with a disagreement than this carry no decision (see the statistics in the documentation)."""

METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "answered_accuracy": "accuracy of the answers given",
    "coverage": "coverage",
    "weighted_kappa": "weighted kappa",
    "auroc": "AUROC",
    "exact_match": "exact match",
    "token_f1": "token F1",
    "rouge_l": "ROUGE-L",
    "map": "mAP",
}
"""Metric -> what it is called, in the order of the columns; others are called by their own name."""

EXPLAINED = {
    "accuracy": "share of right answers; no answer counts as wrong",
    "balanced_accuracy": "mean of the classes' own shares of right answers, so that a rare class counts as much",
    "macro_f1": "mean F1 of the classes",
    "sensitivity": "share of the positive items that were found",
    "specificity": "share of the other items that were left alone",
    "answered_accuracy": "share of right answers among the items that got one",
    "coverage": "share of the items that got an answer at all",
    "weighted_kappa": "agreement beyond chance, distant classes counted as worse mistakes",
    "exact_match": "share of replies equal to the reference after normalisation; carries no verdict",
    "token_f1": "overlap of words with the reference; carries no verdict",
    "rouge_l": "longest common run of words with the reference; carries no verdict",
}
RAW = ("weighted_kappa", "auroc", "mean_absolute_error", "mae", "count_error")
"""Metrics that are no share and are shown as plain numbers."""

WHO = {
    "tuned": "tuned model",
    "base": "base model",
    "majority": "always the commonest answer",
    "linear": "linear classifier on the frozen tower",
}


def who(name: str) -> str:
    """What a model is called in a sentence; a baseline and a predictions file by their own names."""
    return WHO.get(name, name.removeprefix("predictions:"))


def metric(name: str) -> str:
    """What a metric is called in a sentence."""
    return METRICS.get(name, name.replace("_", " "))


def number(name: str, value: float | None) -> str:
    """A value of a metric: a percentage, or a plain number where it is no share."""
    if value is None:
        return "\u2013"
    return f"{value:.3f}" if name in RAW else percent(value)


def span(name: str, score: Mapping[str, float | None]) -> str:
    """The 95 % interval of a metric, empty where there is none."""
    low, high = score.get("low"), score.get("high")
    if low is None or high is None:
        return ""
    return f"{low:.3f} to {high:.3f}" if name in RAW else f"{100 * low:.1f} to {100 * high:.1f}"


def percent(value: float) -> str:
    """`88.1 %`, with a narrow no-break space."""
    return f"{100 * value:.1f}\u202f%"


def points(value: float) -> str:
    """A signed difference in percentage points: `+6.5`, with a true minus sign; nought has none."""
    return signed(value).replace("-", "\u2212")


def signed(value: float) -> str:
    """The same for a terminal: `+6.5`, `-0.3`."""
    return f"{round(100 * value, 1) + 0.0:+.1f}"


def interval(score: Mapping[str, float]) -> str:
    """`84.5 to 90.9`, in percent."""
    return f"{100 * score['low']:.1f} to {100 * score['high']:.1f}"


def p_value(p: float) -> str:
    """`p = 0.036`, or `p < 0.0001`."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.4f}" if p < 0.001 else f"p = {p:.3f}"


def title(metric: str) -> str:
    """What a metric is called, at the start of a line."""
    return capital(METRICS.get(metric, metric.replace("_", " ")))


def capital(text: str) -> str:
    """The text with its first letter raised and the rest as it is."""
    return text[:1].upper() + text[1:]


def many(count: int, noun: str, plural: str | None = None) -> str:
    """`1 image`, `2 images`, `1,200 images`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def tested(comparison: Json) -> str:
    """What was tested: `394 test images in 44 groups`."""
    text = many(comparison["n"], "test image")
    if comparison["groups"] != comparison["n"]:
        text += f" in {many(comparison['groups'], 'group')}"
    return text


def standing(pair: Json) -> str:
    """`better`, `worse`, `open` or `few`: what the 95 % interval of a difference allows to say.

    `few` is better on fewer groups than an interval can be trusted with; worse is said without such a condition.
    """
    if pair["low"] > 0:
        grouped = pair["groups"] != pair["n"]
        return "few" if grouped and pair["discordant_groups"] < ENOUGH_GROUPS else "better"
    return "worse" if pair["high"] < 0 else "open"


HEADLINES = {
    "better": "The tuned model is better than its base.",
    "few": "The tuned model did better than its base, on too few groups to be sure.",
    "worse": "The tuned model is worse than its base.",
    "open": "No difference between the tuned model and its base is proven.",
}


FLOORS = {
    "better": "is above that",
    "few": "is above that, on too few groups to be sure",
    "worse": "is below that",
    "open": "is not proven to be above that",
}


LINEAR = {
    "few": "It did better than a linear classifier on the frozen vision tower, on too few groups to be sure.",
    "worse": "It is worse than a linear classifier on the frozen vision tower.",
    "open": "It is not proven to be better than a linear classifier on the frozen vision tower.",
}
NEXT = (
    "Next: train longer (train.epochs), let vision tower and projector learn (method.targets), even the labels out "
    "(train.balance=true), or take a larger base; until then the linear classifier is the cheaper answer."
)


def headline(comparison: Json) -> str:
    """The verdict on the tuning in one short sentence, and a second one where a linear model does as well."""
    pair, linear = (comparison["pairs"].get(f"tuned-{other}") for other in ("base", "linear"))
    said = HEADLINES[standing(pair)] if pair else "Tuned and base model were not both evaluated."
    return f"{said} {LINEAR[standing(linear)]}" if linear and standing(linear) in LINEAR else said


def beside_linear(comparison: Json) -> list[str]:
    """The figures beside a linear model that is as good, and what to try next; nothing where tuned is better."""
    pair = comparison["pairs"].get("tuned-linear")
    if not pair or standing(pair) not in LINEAR:
        return []
    models = comparison["models"]
    tuned, linear = (percent(models[who][pair["metric"]]["value"]) for who in ("tuned", "linear"))
    return [f"The linear classifier reached {linear} {metric(pair['metric'])}, the tuned model {tuned}. {NEXT}"]


def summary(comparison: Json, other: str = "base") -> list[str]:
    """The comparison of the tuned model with another one in plain sentences, for a reader who signs."""
    pair = comparison["pairs"].get(f"tuned-{other}")
    if not pair:
        return [f"{tested(comparison)}."]
    name, models = metric(pair["metric"]), comparison["models"]
    tuned, second = (models[who][pair["metric"]]["value"] for who in ("tuned", other))
    called = "its base" if other == "base" else who(other)
    told = [
        f"On {tested(comparison)} kept out of training, the tuned model reached {percent(tuned)} {name}, "
        f"{called} {percent(second)}.",
        f"The difference of {points(pair['difference'])} points lies between {points(pair['low'])} and "
        f"{points(pair['high'])} with 95 % confidence: of the images on which the two disagree, "
        f"{pair['b']:,} went to the tuned model and {pair['c']:,} to {'the base' if other == 'base' else called}.",
    ]
    floor = comparison["pairs"].get("tuned-majority")
    if floor:
        share = percent(models["majority"][pair["metric"]]["value"])
        how = FLOORS[standing(floor)]
        told.append(f"Always giving the commonest answer would reach {share}; the tuned model {how}.")
    return told


def alike(metrics: Json) -> list[str]:
    """A sentence on each model that gave one and the same answer throughout, where the images have several labels.

    Args:
        metrics: `models` of `metrics.json`.
    """
    told = []
    for name, found in metrics.items():
        table = found.get("confusion") or {"rows": ()}
        given = [sum(column) for column in zip(*table["rows"], strict=True)]
        said = [label for label, count in zip(table.get("labels", ()), given, strict=True) if count]
        if name == "majority" or sum(map(any, table["rows"])) < 2 or len(said) != 1 or said[0] is None:
            continue
        called = f"The {WHO[name]}" if name in WHO else who(name)
        told.append(f"{called} answered \u201c{said[0]}\u201d to all {sum(given):,} images and so tells none apart.")
    return told


def columns(comparison: Json) -> list[str]:
    """Metrics that at least one model has a value of, in the order of the columns."""
    found = {name for scores in comparison["models"].values() for name, score in scores.items() if score is not None}
    return [*(name for name in METRICS if name in found), *sorted(found - set(METRICS))]


def table(comparison: Json) -> str:
    """The comparison for a terminal: who, each metric with its interval, then the paired differences."""
    shown = columns(comparison)
    head = ["", *(METRICS.get(name, name) for name in shown), "same answer when generated"]
    rows = [head]
    for who, scores in comparison["models"].items():
        mode = comparison["modes"].get(who)
        cells = [_cell(m, scores.get(m)) for m in shown]
        rows.append([who, *cells, f"{100 * mode['agreement']['value']:.1f}" if mode else ""])
    lines = [f"{tested(comparison)}; percent [95 % interval]", "", *_aligned(rows), ""]
    lines += _aligned([_pair_cells(name, pair) for name, pair in comparison["pairs"].items()])
    return "\n".join([*lines, "", headline(comparison), *beside_linear(comparison)])


def _cell(name: str, score: Json | None) -> str:
    if score is None or score["value"] is None:
        return ""
    scale, form = (1, ".3f") if name in RAW else (100, ".1f")
    if score["low"] is None:
        return f"{scale * score['value']:{form}}"
    return f"{scale * score['value']:{form}} [{scale * score['low']:{form}}, {scale * score['high']:{form}}]"


def _pair_cells(name: str, pair: Json) -> list[str]:
    first, second = name.split("-", 1)
    return [
        f"{first} - {second}",
        metric(pair["metric"]),
        f"{signed(pair['difference'])} points [{signed(pair['low'])}, {signed(pair['high'])}]",
        f"{pair['b']} better, {pair['c']} worse",
        p_value(pair["p"]),
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
