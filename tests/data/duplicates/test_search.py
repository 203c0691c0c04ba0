"""Near copies among pictures that are much alike: found by kind, and nothing else found."""

import imagehash
import numpy as np
import pytest
from data.duplicates import planted
from PIL import Image

from finetune.data.duplicates import alignment, search
from finetune.data.duplicates.fingerprint import LENGTH, Sketches, hashes, luma, sketch


def rows_of(pictures):
    return np.stack([sketch(picture) for picture in pictures])


@pytest.fixture(scope="module")
def cells():
    return planted.cells(60, sisters=0, seed=3)


def test_the_hash_is_that_of_imagehash(cells):
    ours = hashes(luma(rows_of(cells)))
    theirs = np.stack([np.packbits(imagehash.phash(cell).hash.ravel()) for cell in cells]).view(np.uint64).ravel()
    assert np.bitwise_count(ours ^ theirs).max() <= 2  # fractions are kept here, imagehash rounds to whole levels
    assert np.bitwise_count(ours[:1] ^ theirs[1:]).min() > 2


@pytest.mark.parametrize("kind", sorted(planted.KINDS))
def test_copies_of_every_kind_are_found_and_nothing_else(cells, kind):
    rng = np.random.default_rng(7)
    copies = [planted.KINDS[kind](cell, rng) for cell in cells[:12]]
    pairs, how = search.search(rows_of([*cells, *copies]))
    found = {(pair.first, pair.second) for pair in pairs}
    true = {(n, n + len(cells)) for n in range(12)}
    assert found <= true
    assert len(found) >= {"taken again": 4, "cropped by 5 %": 10}.get(kind, 11)
    assert {pair.mirrored for pair in pairs} == {kind == "mirrored"}
    assert all(0 <= pair.distance <= search.LIMIT for pair in pairs)
    assert how == search.Plan()


def test_flat_pictures_and_other_colours_are_no_copies(cells):
    flat = [Image.new("RGB", (40, 40), (level, level, level)) for level in (0, 100, 101, 255)]
    grey = cells[0].convert("RGB")
    bands = zip(grey.split(), (16, 8, 4), strict=True)
    red = Image.merge("RGB", [band.point(lambda v, k=k: v * k // 10) for band, k in bands])
    pairs, _ = search.search(rows_of([*flat, grey, red]))
    assert pairs == []


def test_an_alignment_is_undone(cells):
    picture = alignment.even(luma(rows_of(cells[:3])))
    step = np.array([[0.6, -0.4, -0.04, -0.05]] * 3, dtype=np.float32)
    assert (alignment.warped(picture, np.zeros((3, 4), np.float32)) - picture).max() < 1e-3
    assert alignment.moved(picture, alignment.warped(picture, step)).max() < 0.002
    assert alignment.moved(picture, picture[[1, 2, 0]]).min() > 0.1


def test_a_search_that_would_take_too_long_is_cut_back_and_says_so(monkeypatch):
    keys = np.arange(40, dtype=np.uint64)
    monkeypatch.setattr(search, "COMPARISONS", 40**2 * 3)
    assert search.plan(keys).note.startswith("cropped and shifted copies are not looked for among 40")
    assert not search.plan(keys).crops
    monkeypatch.setattr(search, "COMPARISONS", 10**9)
    monkeypatch.setattr(search, "CANDIDATES", 100)
    assert search.plan(keys) == search.Plan(2, True, search.plan(keys).note)
    assert "may differ in 2 bits only, not 8" in search.plan(keys).note
    monkeypatch.setattr(search, "COMPARISONS", 39**2)
    assert search.plan(keys) == search.Plan(0, False, "not searched: 40 different pictures, 39 are compared")


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_compare(count):
    assert search.search(np.zeros((count, LENGTH), np.float16))[0] == []


def test_sketches_lie_on_disk_until_they_are_closed(tmp_path):
    kept = Sketches(tmp_path / "sketches")
    assert kept.rows().shape == (0, LENGTH)
    numbers = [kept.add(np.full(LENGTH, value, np.float16)) for value in (1, 2)]
    assert numbers == [0, 1]
    assert kept.rows()[:, 5].tolist() == [1, 2]
    kept.close()
    assert list(tmp_path.iterdir()) == []
