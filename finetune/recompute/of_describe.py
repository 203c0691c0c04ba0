"""Long text: shown by overlap; ROUGE-L is the library's own, which both codes ask."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from finetune.config.schema import TaskConfig
from finetune.example import Example
from finetune.recompute import ratios, texts


def right(task: TaskConfig, gold: str, answer: str) -> bool:
    """Whether both have one normal form."""
    return texts.same(gold, answer)


def decides(task: TaskConfig, labels: Sequence[str], example: Example) -> bool:
    """Whether an item may carry a verdict: overlap of words never does."""
    return False


def metrics(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, Any]:
    """Token F1, and ROUGE-L (F1, stemmed) where the library is installed; no answer shares nothing."""
    found = {"token_f1": texts.scores(golds, answers, groups)["token_f1"]}
    if find_spec("rouge_score") is None:
        return found
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    pairs = zip(golds, answers, strict=True)
    shares = [0.0 if said is None else scorer.score(gold, said)["rougeL"].fmeasure for gold, said in pairs]
    return found | {"rouge_l": ratios.mean(shares, groups)}
