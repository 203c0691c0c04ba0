"""Short free text: normalised exact match and token F1, as SQuAD (Rajpurkar et al. 2016) and VQA evaluations do."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec

from finetune.example import Score
from finetune.scoring.ratio import mean
from finetune.stats.proportions import clustered_wilson

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_COUNTED = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER_WORDS = {word: str(number) for number, word in enumerate(_COUNTED)}
_PUNCTUATION = {ord(char): " " for char in string.punctuation if char not in "'.,"} | {ord("'"): None}
_LOOSE_POINT = re.compile(r"(?<!\d)[.,]|[.,](?!\d)")


def normalise(text: str) -> str:
    """SQuAD's normal form: lower case, no punctuation, no articles, single blanks.

    As in VQA's script, number words up to ten become digits, and a point or comma between digits stays.
    """
    bare = _LOOSE_POINT.sub(" ", text.casefold().translate(_PUNCTUATION))
    return " ".join(_NUMBER_WORDS.get(word, word) for word in _ARTICLES.sub(" ", bare).split())


def exact_match(gold: str, answer: str | None) -> bool:
    """Whether two texts have one normal form; no answer matches nothing."""
    if answer is None:
        return False
    wanted = normalise(gold)
    return wanted == normalise(answer) if wanted else gold.casefold().strip() == answer.casefold().strip()


def token_f1(gold: str, answer: str | None) -> float:
    """Harmonic mean of the shares of tokens in common, 0..1; two empty normal forms agree."""
    if answer is None:
        return 0.0
    wanted, said = normalise(gold).split(), normalise(answer).split()
    if not wanted or not said:
        return float(wanted == said)
    common = (Counter(wanted) & Counter(said)).total()
    return 2 * common / (len(wanted) + len(said))


def metrics(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, Score]:
    """Exact match and token F1, for display: neither carries a verdict."""
    pairs = list(zip(golds, answers, strict=True))
    return {
        "exact_match": clustered_wilson([exact_match(*pair) for pair in pairs], groups),
        "token_f1": mean([token_f1(*pair) for pair in pairs], groups),
    }


def long_text_metrics(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, Score]:
    """Token F1, and ROUGE-L's F1 (Lin 2004, stemmed) where the extra `text` is installed."""
    found = {"token_f1": metrics(golds, answers, groups)["token_f1"]}
    if find_spec("rouge_score") is None:
        return found
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    values = [scorer.score(gold, answer or "")["rougeL"].fmeasure for gold, answer in zip(golds, answers, strict=True)]
    return found | {"rouge_l": mean(values, groups)}
