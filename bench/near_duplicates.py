"""Recall and precision of the search for near-duplicates among pictures that are much alike.

Copies of seven kinds are planted, each of other pictures, among all pictures of FOLDER (PNG and JPEG files of about 128
pixels), or among drawn solar cells. Precision of a kind: of the pairs that hold one of its copies, those that are that
copy with its source. Pairs of two originals are counted apart: in real data they may be copies that nobody planted.

    python bench/near_duplicates.py [FOLDER] [--copies 80] [--count 2000] [--seed 0]
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from finetune.data.duplicates import search
from finetune.data.duplicates.fingerprint import sketch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from data.duplicates import planted  # type: ignore[import-not-found]  # the generator that the tests use too


def main() -> None:
    """Prints one line a kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="pictures; without it, drawn ones")
    parser.add_argument("--copies", type=int, default=80, help="copies of each kind")
    parser.add_argument("--count", type=int, default=2000, help="drawn pictures, where no folder is given")
    parser.add_argument("--seed", type=int, default=0, help="of the copies")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    files = (
        sorted(f for f in (given.folder or Path()).iterdir() if f.suffix in (".png", ".jpg")) if given.folder else []
    )
    pictures = [Image.open(file).convert("RGB") for file in files] or planted.cells(given.count)
    if len(pictures) < given.copies * len(planted.KINDS):
        parser.error(
            f"--copies: {len(planted.KINDS)} kinds of {given.copies} need as many pictures, there are {len(pictures)}"
        )
    order, rows = rng.permutation(len(pictures)), [sketch(picture) for picture in pictures]
    wanted: dict[tuple[int, int], str] = {}
    owner: dict[int, str] = {}
    for number, (kind, change) in enumerate(planted.KINDS.items()):
        for source in order[number * given.copies : (number + 1) * given.copies]:
            owner[len(rows)] = wanted[int(source), len(rows)] = kind
            rows.append(sketch(change(pictures[source], rng)))
    start = time.process_time()
    pairs, how = search.search(np.stack(rows))
    used = time.process_time() - start
    found = {(pair.first, pair.second) for pair in pairs}
    print(f"{len(pictures):,} pictures, {len(owner)} copies; {used:.1f} s of CPU; {how.note or 'whole search'}")
    for kind in planted.KINDS:
        copies = {number for number, name in owner.items() if name == kind}
        mine = {pair for pair in found if copies & {*pair}}
        true = sum(wanted.get(pair) == kind for pair in mine)
        share = true / len(mine) if mine else float("nan")
        print(f"{kind:<20} recall {true / len(copies):.3f}  precision {share:.3f}  ({true} of {len(copies)} copies)")
    rest = sum(pair[1] < len(pictures) for pair in found)
    print(f"pairs of two originals: {rest} of {len(pictures) * (len(pictures) - 1) // 2:,}")


if __name__ == "__main__":
    main()
