"""Short texts compared by their normal form and by the tokens that they share."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby, pairwise
from string import punctuation

from oracle import formulas, ratios

ARTICLES = ("a", "an", "the")
COUNT = "zero one two three four five six seven eight nine ten"
DIGITS = {word: str(number) for number, word in enumerate(COUNT.split())}


def normal(text: str) -> str:
    """Lower case without articles and punctuation, number words as digits, single blanks.

    A point or comma between two digits stays; an apostrophe joins what it parts.
    """
    bare = "".join(char if char not in punctuation or char in ".," else " " for char in text.casefold() if char != "'")
    kept = ""
    for before, (char, after) in zip(" " + bare, pairwise(bare + " "), strict=False):
        loose = char in ".," and not (before.isdecimal() and after.isdecimal())
        kept += " " if loose else char
    runs = ("".join(run) for _, run in groupby(kept, key=lambda char: char.isalnum()))
    words = "".join(" " if run in ARTICLES else run for run in runs).split()
    return " ".join(DIGITS.get(word, word) for word in words)


def same(gold: str, answer: str) -> bool:
    """Whether two texts have one normal form; of a gold text that has none, whether they are spelt alike."""
    wanted = normal(gold)
    if not wanted:
        return gold.strip().casefold() == answer.strip().casefold()
    return normal(answer) == wanted


def overlap(gold: str, answer: str) -> float:
    """F1 of the tokens in common: twice their number over all tokens of both; 1 where neither text has any."""
    wanted, said = Counter(normal(gold).split()), Counter(normal(answer).split())
    tokens = wanted.total() + said.total()
    common = sum(min(count, said[token]) for token, count in wanted.items())
    return 2 * common / tokens if tokens else 1.0


def scores(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, dict[str, float]]:
    """Share of the same texts and mean token F1; no answer is neither."""
    pairs = list(zip(golds, answers, strict=True))
    return {
        "exact_match": formulas.proportion([said is not None and same(gold, said) for gold, said in pairs], groups),
        "token_f1": ratios.mean([0.0 if said is None else overlap(gold, said) for gold, said in pairs], groups),
    }
