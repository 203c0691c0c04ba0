"""Looks at images: in order, shared, in threads and in processes, and what becomes of a worker."""

import signal
import threading
from collections import Counter
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import pytest
from PIL import Image

from finetune.config.schema import TilesConfig
from finetune.data import image_scan, tiles
from finetune.data.image_scan import Eye, Look
from finetune.errors import ResourceError
from finetune.example import Example, ImageRef
from finetune.images import decode
from finetune.rundir import sha256_file


@pytest.fixture
def root(tmp_path):
    for n in range(5):
        Image.new("RGB", (20 + n, 30), (n, 0, 0)).save(tmp_path / f"{n}.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "0.png").read_bytes()[:45])
    return tmp_path


def rows_of(*names):
    return [Example(f"row {n}", (ImageRef(name),), "x", "g", row=f"row {n}") for n, name in enumerate(names)]


NAMES = [f"{n % 5}.png" for n in range(150)] + ["bad.png", "gone.png"]


def test_processes_see_what_threads_see_in_the_same_order(root):
    rows = rows_of(*NAMES)
    threads = list(image_scan.looked(rows, Eye(root, "full"), 0))
    assert [row for row, _ in threads] == rows
    assert [looks[0].size for _, looks in threads[:6]] == [(30, 20), (30, 21), (30, 22), (30, 23), (30, 24), (30, 20)]
    assert "cannot be decoded" in threads[-2][1][0]
    assert "does not exist" in threads[-1][1][0]
    assert list(image_scan.looked(rows, Eye(root, "full"), 2)) == threads


def test_an_image_is_looked_at_once(root, monkeypatch):
    seen = Counter()
    look = Eye.look
    monkeypatch.setattr(Eye, "look", lambda self, ref: (seen.update([ref.path]), look(self, ref))[1])
    list(image_scan.looked(rows_of(*NAMES), Eye(root, "headers"), 0))
    assert set(seen.values()) == {1}


def test_memory_forgets_the_oldest(root, monkeypatch):
    monkeypatch.setattr(image_scan, "_REMEMBERED", 2)
    monkeypatch.setattr(image_scan, "CHUNK", 1)
    found = list(image_scan.looked(rows_of("0.png", "1.png", "2.png", "0.png"), Eye(root, "full"), 0))
    assert [looks[0].size[1] for _, looks in found] == [20, 21, 22, 20]


def test_a_look_holds_digests_of_the_image_and_of_its_tiles(root):
    found = Eye(root, "full", partial(tiles.grid, rule=TilesConfig(size=16))).look(ImageRef("1.png"))
    whole = decode.load(root, ImageRef("1.png"))
    assert (found.size, found.sha256) == ((30, 21), sha256_file(root / "1.png"))
    assert found.pixels == decode.fingerprint(whole)
    assert [*found.tiles] == [
        decode.fingerprint(whole.crop(box))
        for box in ((0, 0, 16, 16), (5, 0, 21, 16), (0, 14, 16, 30), (5, 14, 21, 30))
    ]
    assert Eye(root, "headers").look(ImageRef("1.png")) == Look(found.size, found.sha256, found.length, b"")


def test_nothing_starts_before_the_first_row(monkeypatch):
    monkeypatch.setattr(image_scan, "_pool", lambda workers: pytest.fail("a pool for nothing"))
    assert list(image_scan.looked([], Eye(None, "full"), 4)) == []


def test_a_killed_worker_names_the_rows(root, monkeypatch):
    class Killed:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def submit(self, *_):
            return self

        def result(self):
            raise BrokenProcessPool

    monkeypatch.setattr(image_scan, "_pool", lambda workers: Killed())
    with pytest.raises(ResourceError, match=r"was killed between row 0 and row 1, .*Take fewer hardware\.workers"):
        list(image_scan.looked(rows_of("0.png", "1.png"), Eye(root, "full"), 2))


def test_workers_leave_signals_to_the_parent_and_outlive_it_never(monkeypatch):
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    gone, left = threading.Event(), []
    parent = type("Parent", (), {"join": lambda self: gone.wait()})()
    monkeypatch.setattr(image_scan, "parent_process", lambda: parent)
    monkeypatch.setattr(image_scan.os, "_exit", lambda code: left.append(code))
    try:
        image_scan._obey_the_parent_alone()
        assert {signal.getsignal(number) for number in before} == {signal.SIG_IGN}
        assert left == []
        (watch,) = [thread for thread in threading.enumerate() if thread.name == "leave with the parent"]
        gone.set()
        watch.join()
        assert left == [1]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
