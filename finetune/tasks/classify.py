"""Closed-set classification: one answer out of a list of labels."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from finetune.config import TaskConfig
from finetune.example import Example, Message, Outcome

PARSER = "classify/1"

_THINKING = re.compile(r"\A.*</think(?:ing)?>|<think(?:ing)?>.*\Z", re.IGNORECASE | re.DOTALL)
_CUE = re.compile(
    r"<answer>(?P<tag>.*?)</answer>|\b(?P<final>final\s+)?answer\s*(?:is\b\s*:?|:|=)\s*(?P<line>[^\n]+)",
    re.IGNORECASE | re.DOTALL,
)
_FILLER = (
    r"(?:an?|any|the|to|be|of|as|sign|signs|evidence|visible|really|likely|seem|appear|look|show|see|contain|have"
    r"|called|considered|classified|described|regarded|rated)"
)
_NEGATED_BEFORE = re.compile(
    r"(?:\b(?:no|not|never|without|neither|nor|cannot|rather\s+than|instead\s+of|free\s+of|ruled?\s+out|excludes?)"
    rf"|\b\w+n['\u2019]t)(?:[^\S\n]+{_FILLER})*[^\S\n]*\Z"
)
_NEGATED_AFTER = re.compile(
    r"\A(?:\s*[:=]\s*(?:no|none|false|absent)\b"
    r"|\s+(?:(?:is|are|was|were|does|can|could|has|have|been|be)\s*)*(?:not\b|n['\u2019]t\b|absent\b|ruled\s+out\b|excluded\b))"
)


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

    Where the reply marks its answer (`Answer: x`, `<answer>x</answer>`), the last mark counts and all final ones must
    agree; otherwise the whole reply is read. Case, markdown and punctuation do not count, words match whole only, the
    longer label wins over a shorter one inside it, a negated label is no answer, and what stands in reasoning tags is
    ignored. A label of one letter counts only where punctuation, `or` or the end follows it: `a crack` names no A.

    Returns:
        One of `labels`, or None where the reply names none or more than one of them.
    """
    spellings = {_fold(spelling): label for label in labels for spelling in (label, *(synonyms or {}).get(label, ()))}
    body = _THINKING.sub(" ", unicodedata.normalize("NFC", text))
    markup = "".join(char for char in "*`~#" if not any(char in spelling for spelling in spellings))
    body = re.sub(rf"[{re.escape(markup)}]|(?<!\w)_+|_+(?!\w)" if markup else r"(?<!\w)_+|_+(?!\w)", " ", body)
    named: set[str] = set()
    for passage in _passages(body):
        named |= _named(passage.casefold(), spellings)
    return named.pop() if len(named) == 1 else None


def _passages(body: str) -> list[str]:
    """The parts of a reply that state its answer: all final marks, else the last mark, else everything."""
    marks = list(_CUE.finditer(body))
    final = [mark for mark in marks if mark["final"] or mark["tag"] is not None]
    return [mark["tag"] or mark["line"] or "" for mark in final or marks[-1:]] or [body]


def _fold(spelling: str) -> str:
    return " ".join(unicodedata.normalize("NFC", spelling).casefold().split())


def _named(passage: str, spellings: Mapping[str, str]) -> set[str]:
    """Labels that a case-folded passage states without negating them."""
    choices = sorted((spelling for spelling in spellings if spelling), key=len, reverse=True)
    if not choices:
        return set()
    pattern = "|".join(
        r"\s+".join(map(re.escape, choice.split()))
        + (r"(?=\s*(?:[).:,;/\]]|\Z|or\b|and\b))" if len(choice) == 1 else "")
        for choice in choices
    )
    found = set()
    for match in re.finditer(rf"(?<![\w-])(?:{pattern})(?![\w-])", passage):
        before, after = passage[max(0, match.start() - 80) : match.start()], passage[match.end() :][:40]
        if not _NEGATED_BEFORE.search(before) and not _NEGATED_AFTER.search(after):
            found.add(spellings[_fold(match.group())])
    return found


def outcome(text: str, answer: str | None, gold: str) -> Outcome:
    """What became of one reply: correct, wrong, or unparsed where the parser found no single answer in `text`."""
    if answer is None:
        return "unparsed"
    return "correct" if answer == gold else "wrong"
