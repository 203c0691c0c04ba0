"""Conversations: LLaVA, ShareGPT, OpenAI messages, ms-swift rows, LLaMA-Factory's dataset_info.json, VLMEvalKit."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data_adapters import _boxes, _files, _turns
from finetune.errors import DataError
from finetune.example import BadRow, Box, Example, ImageRef
from finetune.images import decode

WRITES_IMAGES = False


@dataclass(frozen=True)
class Options:
    """Where the rows are and what they mean.

    Attributes:
        file: the JSON list or JSON-lines file, where `data.path` is a folder.
        dataset: name in LLaMA-Factory's `dataset_info.json`, which then says file, columns and tags.
        images: folder that image paths are relative to.
        turns: `last`: one example a row; `each`: one for every reply of the assistant, with what was said before it.
        placeholders: `<image>` in the middle of a text: refuse the row, or show the image before all text (`front`).
        id: key of unique ids; default: first image and running number.
        group: `data.group`: key of what must not span splits; default: the first image.
        split: `data.split.column`: key that says train, val or test.
        meta: keys carried along for subgroups.
        drawn_on: `stored` or `upright`: what boxes mean on images that EXIF turns.
        frame: frame of animated or multi-page images.
        window: (low, high) raw values shown as black and white, for 16-bit and float images.
    """

    file: str = "conversations.json"
    dataset: str | None = None
    images: str = ""
    turns: Literal["last", "each"] = "last"
    placeholders: Literal["refuse", "front"] = "refuse"
    id: str | None = None
    group: str | None = None
    split: str | None = None
    meta: tuple[str, ...] = ()
    drawn_on: Literal["stored", "upright"] | None = None
    frame: int | None = None
    window: tuple[float, ...] | None = None


def locate(path: Path | None, options: Options) -> Path:
    """The folder that image paths are relative to.

    Raises:
        DataError: it is not there.
    """
    if path is not None and path.is_file():
        return path.parent
    return _files.folder(path, f"the folder with {options.file}, or the file itself")


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    window = (options.window[0], options.window[1]) if options.window else None
    return ImageRef(relative, frame=options.frame, window=window)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Streams the rows in file order; a reply written with `<bbox>` leaves the target to the task.

    Raises:
        DataError: a file is missing, or is neither a JSON list nor JSON lines.
    """
    root = locate(path, options)
    recipe = _recipe(root, options.dataset)
    file = path.name if path is not None and path.is_file() else options.file
    seen: Counter[str] = Counter()
    for where, row in rows(root, str(recipe.get("file_name", file))):
        if not isinstance(row, dict):
            reason = row if isinstance(row, str) else "is no object {key: value, ...}"
            yield BadRow(where, "", reason)
            continue
        paths: tuple[str, ...] = ()
        try:
            said = _turns.talk(_standard(row, recipe), options.placeholders == "front")
            paths = tuple(_files.join(options.images, name, root) for name in said.images)
            if not paths:
                raise DataError("names no image.")
            seen[paths[0]] += 1
            yield from _examples(root, where, row, said, paths, seen[paths[0]], options)
        except DataError as error:
            yield BadRow(where, paths[0] if paths else "", str(error))


def rows(root: Path, file: str) -> Iterator[tuple[str, Any]]:
    """Yields (where, object) of a JSON list or JSON lines; what is not JSON yields its reason as text.

    Raises:
        DataError: the file is missing, not UTF-8, or no list.
    """
    if not file.endswith(".jsonl"):
        tree = _files.load_json(root, file)
        if not isinstance(tree, list):
            raise DataError(f"{file} holds a {type(tree).__name__}, expected a list of conversations.")
        yield from ((f"{file} row {n}", None if isinstance(row, str) else row) for n, row in enumerate(tree, 1))
        return
    try:
        with decode.check(root, file).open(encoding="utf-8-sig") as handle:
            for number, line in enumerate(handle, 1):
                if line.strip():
                    yield f"{file} line {number}", _parsed(line)
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8.") from error


def _parsed(line: str) -> Any:
    try:
        value = _files.parse_json(line)
    except DataError as error:
        return str(error)
    return None if isinstance(value, str) else value


def _recipe(root: Path, name: str | None) -> Mapping[str, Any]:
    """The entry of `dataset_info.json`, or nothing."""
    if name is None:
        return {}
    menu = _files.load_json(root, "dataset_info.json")
    entry = menu.get(name) if isinstance(menu, dict) else None
    if not isinstance(entry, dict):
        there = ", ".join(menu) if isinstance(menu, dict) else "no object"
        raise DataError(f"data.options.dataset: dataset_info.json has no {name!r}; there is {there}.")
    if not isinstance(entry.get("file_name"), str):
        raise DataError(f"dataset_info.json {name!r} names no file_name; nothing is fetched from a hub.")
    for part in ("columns", "tags"):
        given = entry.get(part, {})
        if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
            raise DataError(f"dataset_info.json {name!r}: {part} is no object of names, each a text.")
    if entry.get("formatting", "alpaca") not in ("alpaca", "sharegpt"):
        raise DataError(f"dataset_info.json {name!r} has formatting {entry['formatting']!r}; known: alpaca, sharegpt.")
    return entry


def _standard(row: dict[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A row of LLaMA-Factory by its columns and tags, as a row of OpenAI messages."""
    if not recipe:
        return row
    columns, tags = recipe.get("columns", {}), recipe.get("tags", {})
    beside = {key: row.get(columns.get(key, key)) for key in ("images", *_turns.UNREAD)}
    if recipe.get("formatting", "alpaca") == "alpaca":
        keys = [columns.get(*pair) for pair in (("prompt", "instruction"), ("query", "input"), ("response", "output"))]
        prompt, query, reply = (row.get(key) or "" for key in keys)
        if not all(isinstance(text, str) for text in (prompt, query, reply)):
            raise DataError(f"{', '.join(keys)} must be text.")
        asked = "\n".join(filter(None, (prompt, query)))
        messages = [*_before(row, columns), {"role": "user", "content": asked}]
        return {"messages": [*messages, {"role": "assistant", "content": reply}]} | beside
    names = {
        tags.get("user_tag", "human"): "user",
        tags.get("assistant_tag", "gpt"): "assistant",
        tags.get("system_tag", "system"): "system",
    }
    role, content = tags.get("role_tag", "from"), tags.get("content_tag", "value")
    turns = row.get(columns.get("messages", "conversations"))
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise DataError(f"{columns.get('messages', 'conversations')} is no list of turns.")
    if not all(isinstance(turn.get(role), str) for turn in turns):
        raise DataError(f"a turn has no text in {role!r}, which says who speaks.")
    messages = [{"role": names.get(turn[role], turn[role]), "content": turn.get(content)} for turn in turns]
    if isinstance(system := row.get(columns.get("system", "system")), str) and system:
        messages.insert(0, {"role": "system", "content": system})
    return {"messages": messages} | beside


def _before(row: dict[str, Any], columns: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """System prompt and earlier turns of a row in alpaca's form, where its columns name them."""
    if "system" in columns and (system := row.get(columns["system"])):
        yield {"role": "system", "content": system}
    earlier = (row.get(columns["history"]) or []) if "history" in columns else []
    if not isinstance(earlier, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in earlier):
        raise DataError(f"{columns['history']} is no list of pairs, a question and a reply each.")
    for question, answer in earlier:
        yield {"role": "user", "content": question}
        yield {"role": "assistant", "content": answer}


def _examples(
    root: Path,
    where: str,
    row: dict[str, Any],
    said: _turns.Talk,
    paths: tuple[str, ...],
    number: int,
    options: Options,
) -> Iterator[Example]:
    wanted = [*options.meta, *(key for key in (options.id, options.group, options.split) if key)]
    for key in wanted:
        if not isinstance(row.get(key), str | int) or isinstance(row[key], bool) or row[key] == "":
            raise DataError(f"{key!r} is {row.get(key)!r}, expected text.")
    refs = tuple(image(path, options) for path in paths)
    boxes = None if said.boxes is None else _placed(root, refs, said, options)
    base = str(row[options.id]) if options.id else f"{paths[0]}#{number}"
    ends = [index for index, turn in enumerate(said.messages) if turn.role == "assistant"]
    for index in [end for end in ends if end not in said.unlearnt] if options.turns == "each" else ends[-1:]:
        is_last = index == ends[-1]
        yield Example(
            id=base if len(ends) == 1 or options.turns == "last" else f"{base}/{ends.index(index) + 1}",
            images=refs,
            target=said.messages[index].text,
            group=str(row[options.group]) if options.group else paths[0],
            messages=said.messages[:index],
            split=str(row[options.split]) if options.split else None,
            rejected=said.rejected if is_last else None,
            boxes=boxes if is_last else None,
            meta={key: str(row[key]) for key in options.meta},
            row=where,
        )


def _placed(root: Path, refs: tuple[ImageRef, ...], said: _turns.Talk, options: Options) -> tuple[Box, ...]:
    placed: list[Box] = []
    for index, ref in enumerate(refs):
        mine = [box for box in said.boxes or () if box.image == index]
        if mine:
            header = decode.header(root, ref)
            frame = _boxes.drawn_on(header, options.drawn_on, None)
            placed += _boxes.scaled(mine, header, frame, said.shares)
    return tuple(placed)
