"""Closed-set classification: one answer out of a list of labels."""

import re
from collections.abc import Iterable, Mapping, Sequence

from finetune.config import TaskConfig
from finetune.example import Example, Message, Outcome

PARSER = "classify/1"

_THINKING = re.compile(r"<(think|thinking|reasoning)>.*?(</\1>|\Z)", re.IGNORECASE | re.DOTALL)
_CUE = re.compile(
    r"<answer>(?P<tag>.*?)</answer>"
    r"|\b(?:final\s+)?answer\s*(?:is\s*:?|:|=)\s*(?P<line>[^\n]+)",
    re.IGNORECASE | re.DOTALL,
)
_NEGATED = re.compile(
    r"(?:\b(?:not?|never|without|neither|nor|isn't|isnt|no longer|rather than|instead of|free of|ruled? out|excludes?)"
    r"(?:\s+(?:an?|the|any|see|show|contain|appear|seem|look|be|to|likely|really|of|visible|sign|signs|evidence))*)\s*$",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"[*_`~#]+")


def labels(task: TaskConfig, examples: Iterable[Example]) -> tuple[str, ...]:
    """The closed answers: those declared in `task.labels`, else those found in the source, sorted."""
    return task.labels or tuple(sorted({example.target for example in examples}))


def messages(task: TaskConfig, labels: Sequence[str], example: Example) -> tuple[Message, ...]:
    """The prompt of one example: its own question where the source has one, else `task.question`, verbatim.

    `{labels}` in `task.question` becomes the list; nothing else is added.
    """
    return example.messages or (Message("user", task.question.replace("{labels}", ", ".join(labels))),)


def parse(text: str, labels: Sequence[str], synonyms: Mapping[str, Sequence[str]] | None = None) -> str | None:
    """Reads the answer out of a reply; guesses nothing.

    The last explicit answer (`Answer: x`, `<answer>x</answer>`) counts where there is one; otherwise the whole reply.
    Case, markdown and punctuation do not count; words match whole only; a label inside a longer label that matched
    does not count; a negated label is no answer. Reasoning tags are dropped first.

    Returns:
        One of `labels`, or None where the reply names none or more than one of them.
    """
    body = _MARKUP.sub("", _THINKING.sub(" ", text)).replace("\u2019", "'")
    cues = [match.group("tag") or match.group("line") or "" for match in _CUE.finditer(body)]
    for passage in (*reversed(cues[-1:]), *(() if cues else (body,))):
        named = _named(passage, labels, synonyms or {})
        return next(iter(named)) if len(named) == 1 else None
    return None


def _named(passage: str, labels: Sequence[str], synonyms: Mapping[str, Sequence[str]]) -> set[str]:
    """Labels that a passage states without negating them."""
    spellings = {" ".join(s.casefold().split()): label for label in labels for s in (label, *synonyms.get(label, ()))}
    if not spellings:
        return set()
    choices = sorted(spellings, key=len, reverse=True)
    pattern = "|".join(r"\s+".join(re.escape(word) for word in choice.split()) for choice in choices)
    folded = passage.casefold()
    found = set()
    for match in re.finditer(rf"(?<![\w-])(?:{pattern})(?![\w-])", folded):
        if not _NEGATED.search(folded[max(0, match.start() - 60) : match.start()]):
            found.add(spellings[" ".join(match.group().split())])
    return found


def outcome(text: str, answer: str | None, gold: str) -> Outcome:
    """What became of one reply: correct, wrong, or unparsed where the parser found no single answer in `text`."""
    if answer is None:
        return "unparsed"
    return "correct" if answer == gold else "wrong"
