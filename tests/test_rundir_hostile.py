"""Crashes, edits and odd text against the run directory: the old file or the new one, and never an unseen change."""

import json
import os
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune.errors import IntegrityError, ResourceError
from finetune.rundir import RunDir, canonical_digest, read_json, read_jsonl

FAST = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBER = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUE = st.recursive(
    TEXT | NUMBER | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, VALUE, max_size=4)


@FAST
@given(rows=st.lists(OBJECT, max_size=5), value=OBJECT)
def test_what_is_written_is_read(tmp_path, rows, value):
    run = RunDir(tmp_path / "run")
    assert list(read_jsonl(run.write_jsonl(run.manifest, rows))) == rows
    assert read_json(run.write_json(run.summary, value)) == value
    assert run.manifest.read_bytes().count(b"\n") == len(rows)


class Killed(BaseException):
    """Stands for a kill in the middle of a write."""


@pytest.mark.parametrize("failure", [Killed, OSError, ValueError])
def test_a_write_that_fails_leaves_the_old_file(tmp_path, failure):
    run = RunDir(tmp_path)
    run.write_jsonl(run.manifest, [{"id": "old"}])

    def rows():
        yield {"id": "new"}
        raise failure

    with pytest.raises(failure):
        run.write_jsonl(run.manifest, rows())
    assert list(read_jsonl(run.manifest)) == [{"id": "old"}]
    run.write_jsonl(run.manifest, [{"id": "newer"}])
    assert list(read_jsonl(run.manifest)) == [{"id": "newer"}]
    assert [path.name for path in run.data.iterdir()] == ["manifest.jsonl"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_does_not_know_are_refused_and_cost_nothing(tmp_path, value):
    run = RunDir(tmp_path)
    run.write_json(run.summary, {"kept": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.write_json(run.summary, {"kept": value})
    assert read_json(run.summary) == {"kept": 1}


@pytest.mark.parametrize("mode", [0o640, 0o600, 0o660, 0o644])
def test_modes_hold_whatever_the_umask(tmp_path, mode):
    run = RunDir(tmp_path / "run", mode)
    former = os.umask(0o077)
    try:
        run.write_json(run.summary, {})
        run.record([run.summary])
        with run.lock():
            pass
    finally:
        os.umask(former)
    for path in (run.summary, run.audit_file, run.root / "run.lock"):
        assert stat.S_IMODE(path.stat().st_mode) == mode, path.name
    # Whoever may read a file may search its folder.
    searchable = mode | (mode & 0o444) >> 2
    assert stat.S_IMODE(run.data.stat().st_mode) == searchable


def recorded(run, count=6):
    for number in range(count):
        run.record([run.write_json(run.eval / f"{number}.json", {"number": number})])
    return run.audit_file.read_text().splitlines(keepends=True)


def edits(lines):
    """Every way in which one entry may be dropped, doubled, moved or changed, the last one's loss apart."""
    for place in range(len(lines)):
        yield f"double {place}", [*lines[: place + 1], lines[place], *lines[place + 1 :]]
        for key, other in (("sha256", "0" * 64), ("path", "eval/other.json"), ("seq", 99), ("time", "1999")):
            changed = json.dumps(json.loads(lines[place]) | {key: other}) + "\n"
            if place < len(lines) - 1 or key == "seq":
                yield f"{key} {place}", [*lines[:place], changed, *lines[place + 1 :]]
    for place in range(len(lines) - 1):
        yield f"drop {place}", [*lines[:place], *lines[place + 1 :]]
        yield f"swap {place}", [*lines[:place], lines[place + 1], lines[place], *lines[place + 2 :]]


def test_any_edit_of_the_chain_before_its_end_is_seen(tmp_path):
    run = RunDir(tmp_path)
    lines = recorded(run)
    assert len(run.audit()) == 6
    for _, edited in edits(lines):
        run.audit_file.write_text("".join(edited))
        with pytest.raises(IntegrityError, match=r"audit\.jsonl entry \d+: the chain is broken"):
            run.audit()


def test_half_a_line_at_the_end_is_told_and_not_skipped(tmp_path):
    run = RunDir(tmp_path)
    lines = recorded(run)
    run.audit_file.write_text("".join(lines)[:-20])
    with pytest.raises(IntegrityError, match=r"audit\.jsonl line 6 is not JSON"):
        run.audit()


def test_the_latest_entry_of_a_file_counts_whatever_its_name(tmp_path):
    run = RunDir(tmp_path)
    names = ["caf\u00e9.json", "a b.json", "new\nline.json", "'\".json"]
    for version in range(2):
        for name in names:
            run.record([run.write_json(run.eval / name, {"version": version})])
    found = run.audit()
    assert set(found) == {f"eval/{name}" for name in names}
    assert len(set(found.values())) == 1


@FAST
@given(OBJECT)
def test_the_digest_of_a_record_does_not_depend_on_order_or_blanks(value):
    again = json.loads(json.dumps(dict(reversed(value.items())), indent=3))
    assert canonical_digest(again) == canonical_digest(value)
    assert canonical_digest({**value, "\0new": 1}) != canonical_digest(value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[1,", b"{'a': 1}"])
def test_a_damaged_record_is_an_integrity_error(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"x\.json is not readable as JSON"):
        read_json(path)


def test_the_lock_goes_with_its_holder(tmp_path):
    """A lock file left by a killed process does not lock anything."""
    run = RunDir(tmp_path)
    (tmp_path / "run.lock").write_text("pid 1 on elsewhere since 1999-01-01T00:00:00Z")
    with run.lock():
        assert f"pid {os.getpid()} on " in (tmp_path / "run.lock").read_text()
    with run.lock():
        pass


def test_a_lock_of_another_process_is_refused_with_its_name(tmp_path):
    run = RunDir(tmp_path)
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:  # the child holds the lock until it is told, and leaves without any clean-up of pytest
        with run.lock():
            os.write(ready[1], b"x")
            os.read(done[0], 1)
        os._exit(0)
    try:
        os.read(ready[0], 1)
        with pytest.raises(ResourceError, match=f"in use by another run \\(pid {child} on "), run.lock():
            pytest.fail("two held one run")
    finally:
        os.write(done[1], b"x")
        os.waitpid(child, 0)
    with run.lock():
        pass
