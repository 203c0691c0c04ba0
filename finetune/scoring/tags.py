"""Several labels an item: per tag, over all decisions, and the whole set."""

import json
from collections.abc import Sequence

from finetune.example import Score
from finetune.scoring.ratio import mean, ratio
from finetune.stats.proportions import clustered_wilson


def read(text: str | None) -> frozenset[str]:
    """The tags of a canonical answer (a JSON list); no answer has none."""
    return frozenset(json.loads(text)) if text is not None else frozenset()


def f1(golds: Sequence[frozenset[str]], answers: Sequence[frozenset[str]], groups: Sequence[str]) -> Score:
    """Micro F1 over all (item, tag) decisions: 2 TP / (2 TP + FP + FN). Nothing to find and nothing said is 0."""
    both = [2.0 * len(gold & answer) for gold, answer in zip(golds, answers, strict=True)]
    return ratio(both, [float(len(g) + len(a)) for g, a in zip(golds, answers, strict=True)], groups)


def metrics(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, Score]:
    """Micro F1, mean Jaccard index and the share of whole sets that are exact.

    No answer is wrong even where the gold set is empty: saying nothing is not saying that there is nothing.
    """
    wanted, said = [read(gold) for gold in golds], [read(answer) for answer in answers]
    given = [answer is not None for answer in answers]
    each = list(zip(wanted, said, given, strict=True))
    jaccard = [(len(g & a) / len(g | a) if g | a else 1.0) * done for g, a, done in each]
    return {
        "tag_f1": f1(wanted, said, groups),
        "jaccard": mean(jaccard, groups),
        "exact_set": clustered_wilson([g == a and done for g, a, done in each], groups),
    }


def per_tag(
    golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str], tags: Sequence[str]
) -> dict[str, dict[str, Score | None]]:
    """Tag -> sensitivity and specificity, None where no item (or every item) has the tag.

    An item without an answer misses its tags and counts as a false alarm for the others: it decides nothing rightly.
    """
    wanted, said = [read(gold) for gold in golds], [read(answer) for answer in answers]
    found: dict[str, dict[str, Score | None]] = {}
    for tag in tags:
        rows = [
            (tag in gold, answer is not None and (tag in names) == (tag in gold), group)
            for gold, names, answer, group in zip(wanted, said, answers, groups, strict=True)
        ]
        sides = {"sensitivity": [row for row in rows if row[0]], "specificity": [row for row in rows if not row[0]]}
        found[tag] = {
            name: clustered_wilson([hit for _, hit, _ in side], [group for *_, group in side]) if side else None
            for name, side in sides.items()
        }
    return found
