"""The figures once more without test items that may have been seen in training: shown beside the verdict."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from finetune.config.schema import EvaluateConfig
from finetune.evaluation import comparison, decision_units
from finetune.evaluation.pairing import Test
from finetune.example import Prediction
from finetune.rundir import Json


def without(
    test: Test,
    deployed: Mapping[str, Sequence[Prediction]],
    evaluate: EvaluateConfig,
    baseline: str | None,
    leaks: Iterable[Json],
) -> Json:
    """Metrics, and differences between the tuned model and each other one, on the items that no leak names.

    Args:
        test: what was asked.
        deployed: model -> answers, one an example.
        evaluate: the rule.
        baseline: the model to be replaced, or None.
        leaks: those of `data/summary.json`, each with `ids`.

    Returns:
        `touched`, the test items that a leak names; `n` and `groups` that remain; `models` and `pairs` as in
        `comparison.json`, empty where nothing is left out or nothing would remain.
    """
    named = {str(name) for leak in leaks for name in leak["ids"]}
    kept = [place for place, example in enumerate(test.examples) if example.id not in named]
    touched = len(test.examples) - len(kept)
    if not touched or not kept:
        return {"touched": touched, "n": len(kept) if touched else None, "groups": None, "models": {}, "pairs": {}}
    rest = replace(test, examples=tuple(test.examples[i] for i in kept), folds=tuple(test.folds[i] for i in kept))
    own = decision_units.by_unit(rest, evaluate)
    picked = {who: [rows[place] for place in kept] for who, rows in deployed.items()}
    answers = comparison.operated(rest, picked, evaluate, baseline)
    pairs = comparison.pairs(own, answers, own.metric)
    return {
        "touched": touched,
        "n": len(own.examples),
        "groups": len({example.group for example in own.examples}),
        "models": {who: comparison.metrics(own, rows) for who, rows in answers.items()},
        "pairs": {name: pair for name, pair in pairs.items() if name.startswith("tuned-")},
    }
