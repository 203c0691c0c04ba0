"""Recorded packs: replies of a model that may retire, kept to be replayed anywhere without a network.

A pack is a folder with `pack.json` and `predictions.jsonl`. A *shareable* one holds keyed ids, reply texts and digests
of the pixels sent; gold, group and question stay home, so it can be replayed only where the data and the key are.
"""

import hashlib
import hmac
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from finetune.baseline.outcomes import OUTCOMES, WITHHELD
from finetune.errors import ConfigError, IntegrityError
from finetune.example import Prediction
from finetune.rundir import Json, RunDir, read_json, read_jsonl, sha256_file

SCHEMA = 1
ABOUT = "pack.json"
ROWS = "predictions.jsonl"

SITE_KEY = "FINETUNE_SITE_KEY"
"""Environment variable that names the file with the key of keyed ids; the file lies outside every run and pack."""

ABOUT_KEYS = (
    *("schema", "provider", "model_requested", "model_returned", "recorded_from", "recorded_to", "parameters"),
    *("pixel_policy", "prices", "recorded_by", "predictions_sha256"),
)
ROW_KEYS = (
    *("id", "image_sha256", "question", "gold", "text", "answer", "outcome", "probabilities", "seconds", "model"),
    *("parser", "group"),
)
SHARED_KEYS = ("item", "pixels_sent", "text", "outcome", "seconds", "model")


@dataclass(frozen=True)
class Pack:
    """A pack as read: its own description and rows, in their order; `key` where its ids are keyed."""

    folder: Path
    about: Json
    rows: tuple[Json, ...]
    key: bytes | None

    def id_of(self, example_id: str) -> str:
        """The id under which the pack holds an example."""
        return keyed(self.key, example_id) if self.key is not None else example_id

    @property
    def ids(self) -> list[str]:
        """Ids of the rows, keyed ones where the pack is shareable."""
        return [row["item" if self.key is not None else "id"] for row in self.rows]


def keyed(key: bytes, text: str) -> str:
    """HMAC-SHA256 of an id: who has no key can neither read nor guess it."""
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def site_key() -> bytes:
    """The key of this site, from the file that `FINETUNE_SITE_KEY` names.

    Raises:
        ConfigError: the variable is not set, or the file is missing or holds fewer than 32 bytes.
    """
    place = os.environ.get(SITE_KEY)
    if not place:
        raise ConfigError(
            f"a shareable pack has keyed ids: set {SITE_KEY} to the file with the key of this site "
            "(make one with: openssl rand -hex 32 > FILE) and keep it outside runs and packs."
        )
    try:
        key = Path(place).expanduser().read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"{SITE_KEY}: {place} cannot be read ({error.strerror}).") from error
    if len(key) < 32:
        raise ConfigError(f"{SITE_KEY}: {place} holds {len(key)} bytes, expected at least 32.")
    return key


def read(folder: Path) -> Pack:
    """Reads a pack and checks all that can be checked without the data.

    Raises:
        ConfigError: there is no pack, or it is keyed and the key is not to be had.
        IntegrityError: a file was altered, a key is missing, a row is malformed or doubled; names rows and ids.
    """
    if not (folder / ABOUT).is_file() or not (folder / ROWS).is_file():
        raise ConfigError(f"baseline.path: {folder} is no recorded pack; expected {ABOUT} and {ROWS} in it.")
    about = _about(folder / ABOUT)
    rows = tuple(read_jsonl(folder / ROWS))
    shareable = about.get("shareable") is True
    for number, row in enumerate(rows, 1):
        _check_row(folder, number, row, SHARED_KEYS if shareable else ROW_KEYS)
    key = site_key() if shareable else None
    if key is not None and about.get("key_check") != key_check(key):
        raise ConfigError(f"{folder} was recorded with another key than the one in {SITE_KEY}; ask its maker.")
    pack = Pack(folder, about, rows, key)
    doubled = [item for item, count in Counter(pack.ids).items() if count > 1]
    if doubled:
        raise IntegrityError(f"{folder / ROWS} holds {len(doubled)} ids more than once: {some(doubled)}.")
    return pack


def _about(file: Path) -> Json:
    about = read_json(file)
    if not isinstance(about, dict):
        raise IntegrityError(f"{file} is no JSON object; record the pack again with this version.")
    missing = [key for key in ABOUT_KEYS if key not in about]
    what = f"lacks {', '.join(missing)}" if missing else ""
    if not missing and about["schema"] != SCHEMA:
        what = f"has schema {about['schema']!r}, expected {SCHEMA}"
    elif not missing and not _is_side(about["pixel_policy"]):
        what = "has a pixel_policy without max_side, in pixels or null"
    if what:
        raise IntegrityError(f"{file} {what}; record the pack again with this version.")
    return about


def _is_side(policy: object) -> bool:
    side = policy.get("max_side", 0) if isinstance(policy, dict) else 0
    return side is None or (type(side) is int and side > 0)


def write(
    folder: Path,
    about: Json,
    rows: Sequence[Prediction],
    pixels_sent: Sequence[Sequence[str]],
    key: bytes | None = None,
) -> Path:
    """Writes a pack and returns its folder.

    Args:
        folder: created; a former pack in it is replaced.
        about: the keys of `pack.json` but for `schema` and `predictions_sha256`.
        rows: predictions in the order of the test.
        pixels_sent: for each row the digests of the pictures that were sent.
        key: makes the pack shareable: ids are keyed, and gold, group and question are left out.
    """
    files = RunDir(folder)
    if key is None:
        written = [asdict(row) for row in rows]
    else:
        written = [_shared(row, sent, key) for row, sent in zip(rows, pixels_sent, strict=True)]
        about = about | {"shareable": True, "key_check": key_check(key)}
    files.write_jsonl(folder / ROWS, written)
    about = {"schema": SCHEMA} | about | {"n": len(rows), "predictions_sha256": sha256_file(folder / ROWS)}
    files.write_json(folder / ABOUT, about)
    return folder


def _shared(row: Prediction, pixels_sent: Sequence[str], key: bytes) -> Json:
    """A row without what tells of the data: whether the reply was right would tell the gold."""
    return {
        "item": keyed(key, row.id),
        "pixels_sent": list(pixels_sent),
        "text": row.text,
        "outcome": row.outcome if row.outcome in WITHHELD else None,
        "seconds": row.seconds,
        "model": row.model,
        "usage": row.usage,
    }


def key_check(key: bytes) -> str:
    """Tells whether two sites hold the same key, and nothing else about it."""
    return keyed(key, "finetune site key")[:16]


def _check_row(folder: Path, number: int, row: Json, keys: Sequence[str]) -> None:
    missing = [key for key in keys if key not in row] if isinstance(row, dict) else list(keys)
    if missing:
        raise IntegrityError(f"{folder / ROWS} line {number} lacks {', '.join(missing)}.")
    strange = [key for key in (keys[0], "text", "model") if not isinstance(row[key], str)]
    usage = row.get("usage") or {}
    if not isinstance(usage, dict) or not all(_is_amount(value) for value in usage.values()):
        strange.append("usage")
    if strange:
        raise IntegrityError(
            f"{folder / ROWS} line {number}: {', '.join(strange)} are none of a reply; record the pack again."
        )
    outcomes = (None, *WITHHELD) if "item" in keys else OUTCOMES
    if row["outcome"] not in outcomes or not _is_amount(row["seconds"]):
        raise IntegrityError(
            f"{folder / ROWS} line {number}: outcome or seconds are none of a reply "
            f"({json.dumps(row['outcome'])}, {row['seconds']}); record the pack again."
        )


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def check_untouched(pack: Pack) -> None:
    """Compares the rows with the digest that was taken when they were recorded.

    Raises:
        IntegrityError: they were changed since.
    """
    if sha256_file(pack.folder / ROWS) != pack.about["predictions_sha256"]:
        raise IntegrityError(
            f"{pack.folder / ROWS} is not the file that was recorded (predictions_sha256 in {ABOUT} differs): rows "
            "were changed, moved, added or removed. Get the pack again from its maker."
        )


def check_ids(pack: Pack, ids: Sequence[str]) -> None:
    """Compares the rows of a pack with the examples of a run: the same, all of them, in the same order.

    Raises:
        IntegrityError: names the ids that are missing, foreign, or out of place.
    """
    own = {pack.id_of(item): item for item in ids}
    held = pack.ids
    lost = [item for name, item in own.items() if name not in set(held)]
    foreign = [name for name in held if name not in own]
    found = [
        f"{len(names)} {what}: {some(names)}"
        for what, names in (("examples of the test have no row", lost), ("rows are of no test example", foreign))
        if names
    ]
    if not found:
        moved = [own[name] for name, expected in zip(held, own, strict=True) if name != expected]
        found = [f"{len(moved)} rows are not in the order of the test: {some(moved)}"] if moved else []
    if found:
        raise IntegrityError(
            f"{pack.folder} does not belong to this test split. {'; '.join(found)}. "
            "Replay it with the data and the split that it was recorded with."
        )


def some(names: Sequence[str]) -> str:
    """The first few of many names."""
    return f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
