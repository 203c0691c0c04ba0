"""Paths that rows of a source name: judged before anything is opened."""

import os
import re
import stat
from functools import lru_cache
from pathlib import Path

from finetune.errors import DataError

_URL = re.compile(r"^(?:[a-z][a-z0-9+.-]*://|(?:data|file|javascript):)", re.IGNORECASE)
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")  # Windows knows both kinds of slash, and drives
MAX_PATH = 4096
"""Longest path in characters, as systems have it; what is longer is a picture in base64."""
MAX_SHOWN = 300
"""Longest path in characters that an error repeats."""
_CLIMBS = re.compile(r"(?:\A|[/\\])\.\.(?:[/\\]|\Z)")


def check(root: Path, relative: str, what: str = "image", may_be_empty: bool = False) -> Path:
    """Resolves a path of a row below `root`, without opening it.

    Args:
        root: folder that the file must lie in.
        relative: POSIX path.
        what: word for the file in errors.
        may_be_empty: 0 bytes are fine.

    Raises:
        DataError: it is a URL, absolute, climbs out (`..` or a link), is missing, empty, or no regular file.
    """
    shown = repr(relative if len(relative) <= MAX_SHOWN else f"{relative[:40]}... ({len(relative):,} characters)")
    if relative[:5].lower() == "data:" or len(relative) > MAX_PATH:
        kind = "is a URL; nothing is fetched, and" if relative[:5].lower() == "data:" else "is longer than any path:"
        raise DataError(
            f"{what} path {relative[:20]!r}... {kind} a picture written as text ({len(relative):,} characters) is "
            "not a path. The adapter `messages` reads such rows: data.adapter=messages."
        )
    if not relative.strip() or "\0" in relative:
        raise DataError(f"{what} path {shown} is empty or holds a NUL; expected a path relative to {root}.")
    if _URL.match(relative):
        raise DataError(
            f"{what} path {shown} is a URL; nothing is fetched. Save the {what} below {root} and name that file."
        )
    if _ABSOLUTE.match(relative):
        raise DataError(f"{what} path {shown} is absolute; expected a path relative to {root}.")
    if _CLIMBS.search(relative):
        raise DataError(f"{what} path {shown} climbs with '..'; expected a path below {root}.")
    try:
        place = os.path.realpath(os.path.join(root, relative))
        status = os.stat(place)
    except (OSError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise DataError(f"{what} {shown} {reason}; looked below {root}.") from error
    whole = _resolved(os.path.abspath(root))
    if os.path.commonpath((place, whole)) != whole:
        raise DataError(f"{what} {shown} is a link out of {root}, to {place}; copy the file there instead.")
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{what} {shown} is a {_kind(status.st_mode)}, expected a regular file.")
    if status.st_size == 0 and not may_be_empty:
        raise DataError(f"{what} {shown} is empty (0 bytes).")
    return Path(place)


@lru_cache
def _resolved(root: str) -> str:
    """The root without links, looked up once for all rows; what another folder put in its place holds is refused."""
    return os.path.realpath(root)


def _kind(mode: int) -> str:
    names = {stat.S_IFDIR: "directory", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
    return names.get(stat.S_IFMT(mode), "device")
