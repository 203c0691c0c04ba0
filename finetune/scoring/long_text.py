"""Long text: ROUGE-L through the library `rouge-score` where it is installed. For display; never a verdict."""

from collections.abc import Sequence
from importlib.util import find_spec

from finetune.example import Score
from finetune.scoring import text
from finetune.scoring.ratio import mean


def metrics(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, Score]:
    """Token F1, and ROUGE-L's F1 (Lin 2004, stemmed) where the extra `text` is installed."""
    found = {"token_f1": text.metrics(golds, answers, groups)["token_f1"]}
    if find_spec("rouge_score") is None:
        return found
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    values = [scorer.score(gold, answer or "")["rougeL"].fmeasure for gold, answer in zip(golds, answers, strict=True)]
    return found | {"rouge_l": mean(values, groups)}
