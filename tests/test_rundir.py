"""The run directory: atomic writes, modes, the lock and the audit chain."""

import hashlib
import json
import multiprocessing
import os
import resource
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.errors import IntegrityError, ResourceError
from finetune.rundir import RunDir, canonical_digest, read_json, read_jsonl, sha256_file


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "runs" / "one")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_and_folders_get_the_mode_that_colleagues_can_read(run: RunDir) -> None:
    file = run.write_json(run.summary, {"a": 1})
    assert (mode(file), mode(run.data), mode(run.root)) == (0o640, 0o750, 0o750)
    shared = RunDir(run.root.parent / "two", 0o664)
    assert (mode(shared.write_text(shared.config_file, "x")), mode(shared.root)) == (0o664, 0o775)


def test_a_file_appears_only_when_complete(run: RunDir) -> None:
    run.write_text(run.summary, "old")

    def interrupted() -> None:
        with run.write(run.summary) as handle:
            handle.write("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert run.summary.read_text() == "old"


def test_nan_is_refused(run: RunDir) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.write_json(run.summary, {"a": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.write_jsonl(run.manifest, [{"a": float("inf")}])
    assert not run.summary.exists()


def test_folds_are_parts(run: RunDir) -> None:
    assert [(p.name, p.data, p.adapter) for p in run.parts(0)] == [("", run.data, run.train / "adapter")]
    second = run.parts(2)[1]
    assert (second.split("val"), second.checkpoints) == (
        run.data / "fold_1" / "val.jsonl",
        run.train / "fold_1" / "checkpoints",
    )


def _hold(root: Path, ready: "multiprocessing.synchronize.Event", done: "multiprocessing.synchronize.Event") -> None:
    with RunDir(root).lock():
        ready.set()
        done.wait(30)


def test_a_second_process_is_told_who_holds_the_run(run: RunDir) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(run.root, ready, done))
    holder.start()
    try:
        assert ready.wait(60)
        with pytest.raises(ResourceError, match=rf"in use by another run \(pid {holder.pid} on .* since 2"), run.lock():
            pass
    finally:
        done.set()
        holder.join(30)
    with run.lock():
        assert f"pid {os.getpid()}" in (run.root / "run.lock").read_text()


def test_the_audit_chain(run: RunDir) -> None:
    first, second = run.write_text(run.summary, "one"), run.write_text(run.manifest, "two")
    run.record([first, second])
    run.write_text(run.summary, "three")
    run.record([first])
    entries = [json.loads(line) for line in run.audit_file.read_text().splitlines()]
    assert [e["seq"] for e in entries] == [0, 1, 2]
    assert entries[0]["previous"] == "0" * 64
    # Independent of the code under test: canonical JSON is sorted keys, no blanks.
    canonical = json.dumps(entries[0], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert entries[1]["previous"] == hashlib.sha256(canonical.encode()).hexdigest()
    assert run.audit() == {
        "data/summary.json": hashlib.sha256(b"three").hexdigest(),
        "data/manifest.jsonl": hashlib.sha256(b"two").hexdigest(),
    }


@pytest.mark.parametrize("broken", ["changed", "removed", "swapped"])
def test_a_touched_audit_is_refused(run: RunDir, broken: str) -> None:
    files = [run.write_text(run.data / name, name) for name in ("a", "b", "c")]
    run.record(files)
    lines = run.audit_file.read_text().splitlines()
    if broken == "changed":
        lines[0] = lines[0].replace('"path": "data/a"', '"path": "data/z"')
    elif broken == "removed":
        del lines[1]
    else:
        lines[0], lines[1] = lines[1], lines[0]
    run.audit_file.write_text("\n".join(lines) + "\n")
    with pytest.raises(IntegrityError, match=r"entry [01]: the chain is broken"):
        run.audit()


def test_a_file_that_is_gone_leaves_the_record_but_not_the_chain(run: RunDir) -> None:
    first, second = run.write_text(run.summary, "one"), run.write_text(run.manifest, "two")
    run.record([first, second])
    first.unlink()
    run.record([first])
    assert list(run.audit()) == ["data/manifest.jsonl"]
    assert [row["sha256"] for row in read_jsonl(run.audit_file)][2] is None
    run.record([run.write_text(first, "back")])
    assert run.audit()["data/summary.json"] == hashlib.sha256(b"back").hexdigest()


def test_a_full_disk_leaves_whole_lines(run: RunDir) -> None:
    files = [run.write_text(run.data / name, name) for name in ("a", "b", "c")]
    run.record(files[:1])
    before = run.audit_file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 300, hard))  # room for one line and a half
    try:
        with pytest.raises(OSError, match="File too large"):
            run.record(files[1:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert run.audit_file.read_bytes() == before
    run.record(files[1:])
    assert list(run.audit()) == ["data/a", "data/b", "data/c"]


def test_run_json_is_recorded_by_content_not_layout(run: RunDir) -> None:
    run.update_status(status="done", seed=0)
    run.record([run.status_file])
    run.status_file.write_text('{"seed":0,"status":"done"}')
    assert run.audit()["run.json"] == canonical_digest(read_json(run.status_file))


def test_unreadable_records_name_file_and_line(run: RunDir) -> None:
    run.write_text(run.summary, "{")
    with pytest.raises(IntegrityError, match=r"summary.json is not readable as JSON"):
        read_json(run.summary)
    run.write_text(run.manifest, '{"a": 1}\nx\n')
    with pytest.raises(IntegrityError, match=r"manifest.jsonl line 2 is not JSON"):
        list(read_jsonl(run.manifest))


def test_sha256_of_a_file(run: RunDir) -> None:
    # FIPS 180-2 example for "abc".
    file = run.write_text(run.summary, "abc")
    assert sha256_file(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
def test_the_canonical_digest_ignores_key_order(value: dict[str, object]) -> None:
    assert canonical_digest(value) == canonical_digest(dict(reversed(value.items())))
