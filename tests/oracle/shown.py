"""Values of the result files that predictions do not give, each with the reason; whatever else is there is an error."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

SHOWN = {
    "schema": "the form of the file",
    "decision/criteria/*/question": "words",
    "decision/criteria/*/detail": "words; the numbers in them stand beside them or under pairs, guards and flow",
    "decision/reason": "words; the numbers in it are those of the criteria",
    "decision/scope/*": "what the run recorded of itself: recipe, device, versions, digests, the day",
    "decision/looks_history/*": "copied from the ledger of looks, which lies outside the run",
    "estimand/text": "words",
    "fairness/*": "needs the pictures and the pack: sizes sent, how the prompt was chosen, dates of snapshots",
    "pairs/*/method": "words",
    "without_suspects/pairs/*/method": "words",
    "models/*/selective/detail": "words",
    "identity": "a digest of weights and questions, by which replies are reused",
    "general/left_out/*": "counted while the question sets were read, which lie outside the run",
    "general/files": "names and digests of those files",
    "general/difference/method": "words",
    "refusals/*/difference/method": "words",
    "references/*": "published figures, copied with their sources",
    "notes": "words",
}
"""Path in `comparison.json`, `metrics.json` or `panels.json` (`*`: anything) -> why it is not computed again."""


def uncovered(wanted: Any, got: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Paths of the values of a file that are neither in the recomputed tree nor among those that are only shown.

    Args:
        wanted: what the predictions give.
        got: what the file holds.
        path: keys down to here; places in a list do not count.
    """
    if not isinstance(wanted, dict | list) and wanted is not _NOTHING:
        return  # compared already
    if any(fnmatchcase("/".join(path), pattern) for pattern in SHOWN):
        return
    if isinstance(got, dict):
        for key, value in got.items():
            inner = wanted.get(key, _NOTHING) if isinstance(wanted, dict) else _NOTHING
            yield from uncovered(inner, value, (*path, str(key)))
    elif isinstance(got, list):
        for number, value in enumerate(got):
            there = isinstance(wanted, list) and number < len(wanted)
            yield from uncovered(wanted[number] if there else _NOTHING, value, path)
    elif wanted is _NOTHING:
        yield " ".join(path)


_NOTHING: Any = object()
