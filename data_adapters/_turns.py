"""Rows of conversation files in their many dialects, brought to one form."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_adapters import _boxes
from finetune.errors import DataError
from finetune.example import Box, Message, Role

ROLES: Mapping[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
}
_IMAGE = re.compile(r"<image>")
_CHOICE = re.compile(r"[A-Z]")
_GROUNDING = re.compile(r"<(?:bbox|ref-object)>")
_OTHER_MEDIA = re.compile(r"<(?:video|audio)>")
UNREAD = ("video", "videos", "audio", "audios", "tools", "functions")
"""Keys of rows about something else than images and text."""
_WEIGHTS = ("weight", "loss", "loss_scale")
"""Keys of rows and turns that say how much they count: OpenAI and LLaMA-Factory, ms-swift."""
_CALLS = ("tool_calls", "function_call")
"""Keys of turns in which a program is called."""


@dataclass(frozen=True)
class Talk:
    """One row.

    Attributes:
        messages: turns in order, image placeholders taken out; the last is the assistant's.
        images: paths as written.
        boxes: of `objects`, or None; their corners are shares of the image where `shares` is true.
        rejected: a worse last reply.
        unlearnt: places among `messages` of replies that the row excludes from the loss.
    """

    messages: tuple[Message, ...]
    images: tuple[str, ...]
    boxes: tuple[Box, ...] | None = None
    shares: bool = False
    rejected: str | None = None
    unlearnt: frozenset[int] = frozenset()


def talk(row: Mapping[str, Any], anywhere: bool) -> Talk:
    """Reads a row: LLaVA and ShareGPT (`conversations`), OpenAI and ms-swift (`messages`), or question and answer.

    Args:
        row: the JSON object.
        anywhere: take `<image>` out of the middle of a text too, although images are shown before it.

    Raises:
        DataError: it is none of these, or says what cannot be kept; names the turn.
    """
    if unread := [key for key in UNREAD if row.get(key)]:
        raise DataError(f"has {', '.join(unread)}, which no model here is given; leave such rows out.")
    if weighed := [key for key in _WEIGHTS if not _counts_fully(row.get(key), key)]:
        raise DataError(f"has {weighed[0]} {str(row[weighed[0]])[:40]!r}; all rows count alike here. Leave it out.")
    images = _listed(row)
    turns = [_turn(entry, number, images) for number, entry in enumerate(_entries(row), 1)]
    answer = row.get("answer")
    if turns and turns[-1].role == "user" and answer is not None:
        turns.append(Message("assistant", _answer(answer)))
    if not turns or turns[-1].role != "assistant":
        raise DataError("does not end with a turn of the assistant, which is what is learnt.")
    _check_order(turns)
    turns = _without_images(turns, len(images), anywhere)
    if empty := [number for number, turn in enumerate(turns, 1) if not turn.text.strip()]:
        raise DataError(f"turn {empty[0]}, of the {turns[empty[0] - 1].role}, is empty.")
    boxes, shares = _objects(row.get("objects"), len(images))
    turns = [_grounded(turn, last=turn is turns[-1], boxes=boxes, row=row) for turn in turns]
    rejected = row.get("rejected_response")
    if rejected is not None and not isinstance(rejected, str):
        raise DataError(f"rejected_response is a {type(rejected).__name__}, expected text.")
    rules = _rules(row, turns)
    unlearnt = frozenset(len(rules) + index for index in _unlearnt(_entries(row)))
    if len(rules) + len(turns) - 1 in unlearnt:
        raise DataError("excludes its last reply from the loss (weight or loss), so nothing is left to learn.")
    return Talk((*rules, *turns), tuple(images), boxes, shares, rejected, unlearnt)


def _counts_fully(value: Any, key: str) -> bool:
    """Whether a weight says what is done anyway."""
    if value is None or key == "loss_scale":
        return value in (None, 1, "default", "all")
    return value is True or (not isinstance(value, bool) and value == 1)


def _unlearnt(entries: Sequence[Any]) -> Iterator[int]:
    """Places of the assistant's turns whose `weight` is 0 or whose `loss` is false.

    Raises:
        DataError: a weight is neither 0 nor 1, which no loss here knows.
    """
    for index, entry in enumerate(entries):
        if ROLES.get(str(entry.get("role", entry.get("from")))) != "assistant":
            continue
        for key in _WEIGHTS:
            value = entry.get(key)
            if value is not None and value in (0, False) and key != "loss_scale":
                yield index
            elif not _counts_fully(value, key):
                raise DataError(
                    f"turn {index + 1} has {key} {str(value)[:40]!r}; a reply counts fully (1, true) or not at all "
                    "(0, false) here."
                )


def _rules(row: Mapping[str, Any], turns: Sequence[Message]) -> Sequence[Message]:
    """The system prompt that some dialects keep in a key of its own."""
    said = row.get("system")
    if not said:
        return ()
    if not isinstance(said, str):
        raise DataError(f"system is a {type(said).__name__}, expected text.")
    if turns[0].role == "system":
        raise DataError("has a system prompt as a key and one as a turn; which one is meant?")
    return (Message("system", said),)


def _entries(row: Mapping[str, Any]) -> Sequence[Any]:
    for key in ("conversations", "messages"):
        if key in row:
            if not isinstance(row[key], list):
                raise DataError(f"{key} is a {type(row[key]).__name__}, expected a list of turns.")
            return list(row[key])
    if "prompt" in row and "completion" in row:
        return [*_side(row, "prompt", "user"), *_side(row, "completion", "assistant")]
    if "query" in row and "response" in row:
        return list(_query(row))
    if "question" in row:
        return [{"role": "user", "content": _question(row)}]
    raise DataError(
        "has none of conversations, messages, question, prompt and completion, query and response; it has "
        f"{', '.join(map(repr, row)) or 'nothing'}."
    )


def _side(row: Mapping[str, Any], key: str, role: Role) -> list[Any]:
    """The turns of TRL's `prompt` or `completion`, which is a list of turns or the text of one."""
    value = row[key]
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, list):
        raise DataError(f"{key} is a {type(value).__name__}, expected text or a list of turns.")
    return list(value)


def _query(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The turns of ms-swift's `query` and `response`, with those of `history` before them."""
    history = row.get("history") or []
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise DataError("history is not a list of pairs, a question and a reply each.")
    for question, reply in [*history, [row["query"], row["response"]]]:
        yield {"role": "user", "content": question}
        yield {"role": "assistant", "content": reply}


def _question(row: Mapping[str, Any]) -> str:
    """Question with its hint and choices, a line each, as in files of VLMEvalKit."""
    question, hint = row["question"], row.get("hint")
    if not isinstance(question, str) or not question.strip():
        raise DataError(f"question is {question!r}, expected text.")
    choices = sorted(key for key, value in row.items() if _CHOICE.fullmatch(key) and value is not None)
    lines = [hint] if isinstance(hint, str) and hint.strip() else []
    return "\n".join([*lines, question, *(f"{key}. {_answer(row[key])}" for key in choices)])


def _answer(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"an answer is {value!r}, expected text; quote numbers, or their spelling is lost.")
    return value


def _listed(row: Mapping[str, Any]) -> list[str]:
    """Paths of `image`, `images`, `image_path`: text, a list of it, or objects with `path`."""
    found: list[str] = []
    for key in ("image", "images", "image_path"):
        value = row.get(key)
        for entry in value if isinstance(value, list) else [] if value is None else [value]:
            path = entry.get("path") if isinstance(entry, dict) else entry
            if not isinstance(path, str):
                raise DataError(f"{key} holds {str(entry)[:60]!r}, expected paths of image files.")
            found.append(path)
    return found


def _turn(entry: Any, number: int, images: list[str]) -> Message:
    """One turn; images among the parts of its content are appended to `images`, marked in the text."""
    if not isinstance(entry, dict):
        raise DataError(f"turn {number} is a {type(entry).__name__}, expected an object.")
    name, content = (
        (entry.get("from"), entry.get("value")) if "from" in entry else (entry.get("role"), entry.get("content"))
    )
    role = ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise DataError(f"turn {number} is by {name!r}; expected one of {', '.join(ROLES)}. Tools are not supported.")
    if called := [key for key in _CALLS if entry.get(key)]:
        raise DataError(f"turn {number} has {called[0]}; tools are not supported.")
    if isinstance(content, list):
        content = "".join(_part(part, number, images) for part in content)
    if not isinstance(content, str):
        raise DataError(f"turn {number} holds a {type(content).__name__}, expected text or a list of parts.")
    if other := _OTHER_MEDIA.search(content):
        raise DataError(f"turn {number} holds {other.group()}, which no model here is given; leave such rows out.")
    return Message(role, content)


def _part(part: Any, number: int, images: list[str]) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("text", "input_text") and isinstance(part.get("text"), str):
        return str(part["text"])
    source = part.get("image_url", part.get("image")) if isinstance(part, dict) else None
    source = source.get("url") if isinstance(source, dict) else source
    if kind not in ("image", "image_url", "input_image") or (source is not None and not isinstance(source, str)):
        raise DataError(f"turn {number} has a part {str(part)[:60]!r}; expected text or an image with its path.")
    if source is not None:  # without one it stands for the next of the row's images
        images.append(source)
    return "<image>"


def _check_order(turns: Sequence[Message]) -> None:
    roles = [turn.role for turn in turns if turn.role != "system"]
    if any(turn.role == "system" for turn in turns[1:]):
        raise DataError("has a system turn that is not the first.")
    if roles != ["user", "assistant"] * (len(roles) // 2):
        raise DataError(f"turns are by {', '.join(roles)}; expected user and assistant in turns.")


def _without_images(turns: list[Message], count: int, anywhere: bool) -> list[Message]:
    """Takes placeholders out: images are shown before the first text of the user, so that is where they must stand."""
    marks = sum(len(_IMAGE.findall(turn.text)) for turn in turns)
    if marks and marks != count:
        raise DataError(f"says <image> {marks} times and names {count} images.")
    first = next(index for index, turn in enumerate(turns) if turn.role == "user")
    cleaned = []
    for index, turn in enumerate(turns):
        text = turn.text
        if index == first:
            text = re.sub(r"\A(?:\s*<image>)+\s*|\s*(?:<image>\s*)+\Z", "", text)
        if _IMAGE.search(text):
            if not anywhere:
                raise DataError(
                    f"<image> stands in the middle of turn {index + 1}, but images are shown before the first text. "
                    "Reword it, or accept that with data.options.placeholders=front."
                )
            text = " ".join(filter(None, map(str.strip, _IMAGE.split(text))))
        cleaned.append(Message(turn.role, text))
    return cleaned


def _objects(value: Any, images: int) -> tuple[tuple[Box, ...] | None, bool]:
    """Boxes of ms-swift's `objects`: `ref`, `bbox`, `bbox_type`, `image_id`."""
    if value is None:
        return None, False
    if not isinstance(value, dict) or not isinstance(value.get("bbox"), list):
        raise DataError("objects has no list `bbox`.")
    kind, refs, boxes = value.get("bbox_type", "real"), value.get("ref", []), value["bbox"]
    homes = value.get("image_id", [0] * len(boxes))
    if kind not in ("real", "norm1"):
        raise DataError(f"objects has bbox_type {kind!r}; expected real (pixels) or norm1 (shares).")
    if not isinstance(refs, list) or not all(isinstance(ref, str) and ref for ref in refs):
        raise DataError("objects has a `ref` that is no list of texts.")
    if len(refs) not in (1, len(boxes)) or not isinstance(homes, list) or len(homes) != len(boxes):
        raise DataError(f"objects has {len(boxes)} boxes, but {len(refs)} in `ref`, which must name one each or all.")
    found = []
    for number, (box, home) in enumerate(zip(boxes, homes, strict=True), 1):
        if not isinstance(box, list) or len(box) != 4:
            raise DataError(f"bbox {number} of objects is {str(box)[:60]}, expected [x1, y1, x2, y2].")
        if not isinstance(home, int) or not 0 <= home < images:
            raise DataError(f"bbox {number} of objects is on image {home!r}; there are {images}.")
        x1, y1, x2, y2 = (_boxes.number(corner, f"a corner of bbox {number}") for corner in box)
        found.append(Box(x1, y1, x2, y2, refs[number - 1] if len(refs) > 1 else refs[0], home))
    return tuple(found), kind == "norm1"


def _grounded(turn: Message, last: bool, boxes: tuple[Box, ...] | None, row: Mapping[str, Any]) -> Message:
    """A last turn that is written with `<bbox>` becomes empty: the task writes it from the boxes."""
    if row.get("objects") is None or not _GROUNDING.search(turn.text):
        return turn
    if last and "<bbox>" in turn.text:
        return Message(turn.role, "")
    refs = list(row["objects"].get("ref", []))
    if "<bbox>" in turn.text or len(set(refs)) != 1:
        raise DataError(
            "<bbox> or several kinds of <ref-object> stand in a question; only the last reply may hold them."
        )
    return Message(turn.role, turn.text.replace("<ref-object>", refs[0]))
