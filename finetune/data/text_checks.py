"""What nobody sees in texts of a source: invisible characters, image marks, one group in two spellings."""

import re
import unicodedata

from finetune.errors import DataError
from finetune.example import BadRow, Example

MAX_SHOWN = 1024
"""Characters of a row's name or path that records and messages repeat; a picture written as text is longer."""
_MAX_REASON = 4096
_PICTURE = re.compile(r"(data:[\w/+.-]{0,80};base64,)[A-Za-z0-9+/=_-]*|[A-Za-z0-9+/=]{600,}")
"""A picture in base64; names of files have 255 bytes at most."""

_MARKS = re.compile(
    r"<image>|</?image_?\d+>|<image \d+>|<\|image(?:_\d+|_pad|_start|_end)?\|>|<\|vision_(?:start|end)\|>|"
    r"<image_(?:placeholder|soft_token|token)>|<(?:start|end)_of_image>|<ImageHere>|<IMG_CONTEXT>|"
    r"<im_(?:patch|start|end)>|<fake_token_around_image>|<img>[^<]*</img>|\[IMG\]|\{\{?image\}?\}",
    re.IGNORECASE,
)
"""How other tools mark the place of an image; here images stand before the first text, and a mark would be read."""
_JOINERS = "\u200c\u200d"
"""Invisible, but part of the spelling of Persian and Indic words and of emoji."""


def check(example: Example, closed: bool) -> None:
    """Refuses what would be learnt without anybody seeing it.

    Args:
        example: as the adapter gave it.
        closed: its target is a label, not free text.

    Raises:
        DataError: names the text and the character or mark.
    """
    for message in example.messages:
        if mark := _MARKS.search(message.text):
            raise DataError(
                f"a turn of the {message.role} holds {mark.group()[:40]!r}, the mark of another tool for an image; it "
                "would be read as text. Take it out: images stand before the first text here."
            )
    for label in [box.label for box in example.boxes or ()] + ([example.target] if closed else []):
        _check_visible("label", label)


def _check_visible(what: str, text: str) -> None:
    if hidden := invisible(text):
        raise DataError(
            f"the {what} {text!r} holds {hidden}, which looks like nothing or like a blank; remove it, or two "
            f"{what}s look like one."
        )


def invisible(text: str) -> str | None:
    """The first character that nobody sees, with its name, or None."""
    for place, char in enumerate(text):
        kind = unicodedata.category(char)
        joined = char in _JOINERS and 0 < place < len(text) - 1 and not (text[place - 1] + text[place + 1]).isascii()
        if char in "\n\t":
            continue
        if (kind in ("Cf", "Cc", "Zl", "Zp") or (kind == "Zs" and char != " ")) and not joined:
            return f"U+{ord(char):04X} ({unicodedata.name(char, 'a control character').lower()})"
    return None


class Groups:
    """Groups of a source, each by one spelling."""

    def __init__(self) -> None:
        """Knows none yet."""
        self._spelled: dict[str, str] = {}

    def check(self, group: str) -> None:
        """Refuses `P1` beside `p1` and `001` beside `1`: a patient in two splits.

        Raises:
            DataError: names both spellings, or a character that nobody sees.
        """
        _check_visible("group", group)
        first = self._spelled.setdefault(_plain(group), group)
        if first != group:
            raise DataError(
                f"the group {group!r} is also spelled {first!r}: one patient, part or lot could fall into two splits. "
                "Spell it one way, or so that more than case and leading zeros tells them apart."
            )


def _plain(group: str) -> str:
    """A group without what spellings differ in: Unicode form, case, zeros before a number and `.0` behind it."""
    folded = unicodedata.normalize("NFKC", group).casefold()
    if re.fullmatch(r"\d+\.0+", folded):
        folded = folded.partition(".")[0]
    return re.sub(r"(?<![\d.])0+(?=\d)", "", folded)


def shortened(bad: BadRow) -> BadRow:
    """The row with texts that a terminal and `quarantine.jsonl` can take: no picture in base64 gets there."""
    return BadRow(_cut(bad.row, MAX_SHOWN), _cut(bad.path, MAX_SHOWN), _cut(bad.reason, _MAX_REASON))


def _cut(text: str, limit: int) -> str:
    text = _PICTURE.sub(lambda found: f"{found[1] or ''}... ({len(found[0]):,} characters)", text)
    return text if len(text) <= limit else f"{text[:40]}... ({len(text):,} characters)"
