"""What the report does not show, in the order in which it should worry the reader."""

from finetune.config.schema import Config
from finetune.report import wording
from finetune.report.run_facts import Facts
from finetune.rundir import Json


def limits(facts: Facts) -> list[str]:
    """Sentences, the gravest first."""
    comparison, config = facts.comparison, facts.config
    told = [comparison["decision"]["reason"]] if facts.rival is None else []
    told += _of_test(comparison) + _of_data(facts.summary)
    looks, rules = comparison["decision"]["looks"], comparison["decision"].get("rules", 1)
    if looks > 1:
        under = f" under {rules} different rules" if rules > 1 else ""
        told.append(
            f"This test split was evaluated {looks} times{under}; each look at it makes a lucky result likelier."
        )
    told.append(
        "The figures hold for images like those tested: the same site, camera, light and mix of classes. "
        "A change of any of them calls for a new test."
    )
    return [*told, *_of_models(facts, config)]


def _of_test(comparison: Json) -> list[str]:
    told = []
    groups = comparison["groups"]
    if comparison["pairs"] and groups != comparison["n"] and groups < 40:
        told.append(
            f"The test holds {groups} groups; with fewer than 40 the intervals are rough, "
            f"with fewer than {wording.ENOUGH_GROUPS} they carry no decision."
        )
    images = (comparison.get("estimand") or {}).get("images", comparison["n"])
    if groups == comparison["n"] == images:
        told.append(
            "Every image counts as independent. If several images show one part, patient or module, set data.group: "
            "otherwise the intervals are too narrow."
        )
    if any(row["small"] for row in comparison.get("subgroups") or ()):
        told.append("Some subgroups are small; what is said of them is exploratory and decides nothing.")
    return told


def _of_data(summary: Json) -> list[str]:
    told = []
    if summary.get("leaks"):
        told.append(
            f"{wording.many(len(summary['leaks']), 'finding')} of equal or nearly equal pictures in more than one "
            "split: results may be too good."
        )
    if summary.get("conflicts"):
        told.append(
            f"{wording.many(len(summary['conflicts']), 'image')} with equal pixels but different labels: "
            "no model can get all of them right."
        )
    return told


def _of_models(facts: Facts, config: Config) -> list[str]:
    told = []
    fitted = (facts.detail("tuned").get("calibration") or {}).get("temperature")
    if fitted is None:
        told.append("Probabilities shown beside answers are not calibrated.")
    else:
        told.append("Probabilities shown beside single answers are the model's own, before any calibration.")
    if config.model.id == "embedded" and config.model.path is None:
        told.append(
            "The embedded base model has a few million parameters, for first runs and tests; "
            "real work takes a real base."
        )
    return told
