"""Entries on disk: whole or not there, bounded, and safe under several processes."""

import os
import stat
import threading

import pytest
import torch
from safetensors.torch import load_file

from finetune.models.feature_store import Store

VALUES = {"rows": torch.arange(6, dtype=torch.float32).reshape(2, 3), "deep.0": torch.ones(2, 3, dtype=torch.bfloat16)}
SIZE = 600
"""Bytes of an entry of 100 floats, its header included, are between 400 and this."""


def store(root, limit_gb=1.0, scope="s", mode=0o640):
    return Store(root, scope, limit_gb, mode)


def entry(number=0.0):
    return {"rows": torch.full((10, 10), float(number))}


def age(path, seconds):
    os.utime(path, (path.stat().st_mtime - seconds,) * 2)


def test_what_was_written_is_read_by_another_process(tmp_path):
    store(tmp_path).write("abc", VALUES)
    found = store(tmp_path).read("abc")
    assert {name: (value.dtype, value.tolist()) for name, value in found.items()} == {
        "rows": (torch.float32, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]),
        "deep.0": (torch.bfloat16, [[1.0] * 3] * 2),
    }


def test_the_file_is_plain_safetensors_under_scope_and_key(tmp_path):
    store(tmp_path).write("abc", VALUES)
    assert torch.equal(load_file(tmp_path / "s" / "ab" / "abc.safetensors")["rows"], VALUES["rows"])


def test_other_keys_and_other_scopes_are_unknown(tmp_path):
    store(tmp_path).write("abc", VALUES)
    assert store(tmp_path).read("abd") is None
    assert store(tmp_path, scope="t").read("abc") is None


def flip(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:20],
        lambda content: b"",
        lambda content: flip(content, len(content) - 1),
        lambda content: flip(content, 0),
        lambda content: b"\xff" * 8 + content[8:],
        lambda content: content.replace(b"F32", b"I32"),
        lambda content: content.replace(b"[2,3]", b"[3,2]"),
        lambda content: content.replace(b"sha256", b"sha255"),
        lambda content: b"not a tensor file at all",
    ],
    ids=["short", "header", "empty", "bit", "length", "huge", "type", "shape", "undigested", "text"],
)
def test_a_damaged_entry_is_none_said_and_replaced(tmp_path, capsys, damage):
    first = store(tmp_path)
    first.write("abc", VALUES)
    path = first.path("abc")
    path.write_bytes(damage(path.read_bytes()))
    again = store(tmp_path)
    assert again.read("abc") is None
    assert f"feature cache: {path} is damaged; it is computed again" in capsys.readouterr().err
    again.write("abc", VALUES)
    assert torch.equal(store(tmp_path).read("abc")["rows"], VALUES["rows"])


def test_modes_of_files_and_folders(tmp_path):
    store(tmp_path / "cache", mode=0o600).write("abc", VALUES)
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in sorted(tmp_path.rglob("*"))}
    assert found == {"cache": 0o700, "s": 0o700, "ab": 0o700, "abc.safetensors": 0o600}


def test_what_was_used_longest_ago_goes_first(tmp_path):
    first = store(tmp_path)
    for number, key in enumerate(("aa", "bb", "cc")):
        first.write(key, entry(number))
        age(first.path(key), 100 - number)
    reader = store(tmp_path)
    assert reader.read("aa") is not None  # the oldest by writing, now the newest by use
    writer = store(tmp_path, limit_gb=3 * SIZE / 1e9)
    assert writer.write("dd", entry())
    assert [key for key in ("aa", "bb", "cc", "dd") if store(tmp_path).read(key)] == ["aa", "cc", "dd"]


def test_entries_of_other_models_count_and_go_too(tmp_path):
    other = store(tmp_path, scope="other")
    other.write("aa", entry())
    age(other.path("aa"), 100)
    writer = store(tmp_path, limit_gb=SIZE / 1e9)
    assert writer.write("bb", entry())
    assert other.read("aa") is None


def test_what_this_run_uses_is_never_given_up_and_the_rest_is_not_kept(tmp_path, capsys):
    writer = store(tmp_path, limit_gb=2 * SIZE / 1e9)
    assert [writer.write(key, entry()) for key in ("aa", "bb", "cc", "dd")] == [True, True, False, False]
    told = capsys.readouterr().err
    assert told.count("feature cache:") == 1
    assert "(train.feature_cache_max_gb) are used up by this run; the other images are computed each time" in told
    assert all(store(tmp_path).read(key) for key in ("aa", "bb"))


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    writer = store(tmp_path / "file" / "cache")
    assert [writer.write(key, entry()) for key in ("aa", "bb")] == [False, False]
    assert capsys.readouterr().err.count("cannot be written (File exists)") == 1
    assert writer.read("aa") is None


def test_a_full_disk_leaves_no_half_an_entry(tmp_path, capsys, monkeypatch):
    writer = store(tmp_path)

    def full(handle, mode):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    assert not writer.write("aa", entry())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert "cannot be written (No space left on device)" in capsys.readouterr().err


def test_an_entry_that_vanishes_while_room_is_made_is_no_error(tmp_path, monkeypatch):
    store(tmp_path).write("aa", entry())
    writer = store(tmp_path, limit_gb=SIZE / 1e9)
    original = type(tmp_path).rglob

    def racing(folder, pattern):
        for path in list(original(folder, pattern)):
            path.unlink()
            yield path

    monkeypatch.setattr(type(tmp_path), "rglob", racing)
    assert writer.write("bb", entry())


def test_two_writers_and_a_reader_see_whole_entries_alone(tmp_path):
    stop, seen = threading.Event(), []

    def write():
        own = store(tmp_path)
        while not stop.is_set():
            own.write("aa", VALUES)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for thread in writers:
        thread.start()
    reader = store(tmp_path)
    while len(seen) < 50:
        found = reader.read("aa")
        if found is not None:
            seen.append(torch.equal(found["rows"], VALUES["rows"]))
    stop.set()
    for thread in writers:
        thread.join()
    assert all(seen)
    assert reader.damaged == 0
