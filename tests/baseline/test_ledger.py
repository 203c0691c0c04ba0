"""Journal and ledger: nothing is lost to a kill, and no entry can be changed, moved or taken out unseen."""

import hashlib
import itertools
import json
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.baseline import ledger as journal
from finetune.baseline.ledger import START, Journal, Ledger
from finetune.errors import IntegrityError
from finetune.rundir import RunDir


@pytest.fixture
def ledger(tmp_path):
    """Three questions about two pictures: answered for 0.25, failed, answered at an unknown price; a fourth is lost."""
    found = Ledger(RunDir(tmp_path), tmp_path / "eval" / journal.EGRESS)
    for images, outcome, cost in ((["a"], "answered", 0.25), (["a", "b"], "retry", None), (["b"], "answered", None)):
        seq = found.append("send", endpoint="https://x/v1", body_sha256="0", bytes=10, images=images, attempt=0)
        found.append("reply", send=seq, status=200, outcome=outcome, detail="", cost=cost, model=None)
    found.append("send", endpoint="https://y/v1", body_sha256="0", bytes=5, images=[], attempt=1)
    return tmp_path / "eval" / journal.EGRESS


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def changed(path, change):
    path.write_text("".join(line + "\n" for line in change(lines(path))), encoding="utf-8")


def test_counts(ledger):
    told = journal.summary(ledger)
    head = told.pop("head")
    assert told == {
        "requests": 4,
        "bytes": 35,
        "images": 2,
        "outcomes": {"answered": 2, "retry": 1},
        "lost": 1,
        "cost": 0.25,
        "endpoints": ["https://x/v1", "https://y/v1"],
    }
    last = json.dumps(json.loads(lines(ledger)[-1]), sort_keys=True, separators=(",", ":"))
    assert head == hashlib.sha256(last.encode()).hexdigest()


def test_nothing_asked_is_no_ledger(tmp_path):
    told = journal.summary(tmp_path / "absent.jsonl")
    assert (told["requests"], told["cost"], told["head"], told["endpoints"]) == (0, None, START, [])
    assert journal.verify(tmp_path / "absent.jsonl") == []


def test_each_entry_holds_the_digest_of_the_one_before(ledger):
    entries = [json.loads(line) for line in lines(ledger)]
    assert entries[0]["previous"] == "0" * 64
    for former, later in itertools.pairwise(entries):
        text = json.dumps(former, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert later["previous"] == hashlib.sha256(text.encode()).hexdigest()
    assert [entry["seq"] for entry in entries] == list(range(7))


def edit(number, **changes):
    def change(rows):
        return [json.dumps(json.loads(row) | changes) if index == number else row for index, row in enumerate(rows)]

    return change


@pytest.mark.parametrize(
    ("change", "entry"),
    [
        (edit(0, bytes=1), 1),
        (edit(1, cost=0.0), 2),
        (edit(1, outcome="refused"), 2),
        (edit(2, images=[]), 3),
        (edit(3, note="added"), 4),
        (edit(4, seq=5), 4),
        (edit(5, previous="0" * 64), 5),
        (lambda rows: rows[1:], 0),
        (lambda rows: [*rows[:3], *rows[4:]], 3),
        (lambda rows: [*rows[:2], rows[3], rows[2], *rows[4:]], 2),
        (lambda rows: [*rows[:2], rows[1], *rows[2:]], 2),
        (lambda rows: [*rows, rows[-1]], 7),
        (lambda rows: [*rows, "[]"], 7),
        (lambda rows: ["null", *rows], 0),
    ],
)
def test_what_was_altered_is_named(ledger, tmp_path, change, entry):
    changed(ledger, change)
    for reader in (journal.verify, journal.summary, lambda path: Ledger(RunDir(tmp_path), path)):
        with pytest.raises(IntegrityError, match=rf"egress\.jsonl entry {entry}: the chain is broken"):
            reader(ledger)


def test_another_order_of_keys_is_no_change(ledger):
    changed(ledger, lambda rows: [json.dumps(dict(reversed(json.loads(row).items())), indent=None) for row in rows])
    assert len(journal.verify(ledger)) == 7


def test_a_line_that_is_no_json_is_named(ledger):
    changed(ledger, lambda rows: [*rows[:2], "{", *rows[3:]])
    with pytest.raises(IntegrityError, match="line 3 is not JSON"):
        journal.verify(ledger)


def test_a_ledger_goes_on_with_its_sums(ledger, tmp_path):
    again = Ledger(RunDir(tmp_path), ledger)
    assert (again.images, again.costs, len(again.entries)) == ({"a", "b"}, [0.25], 7)
    assert again.append("reply", send=6, status=200, outcome="answered", detail="", cost=0.5, model="m") == 7
    assert again.append("send", endpoint="e", body_sha256="", bytes=1, images=["c"], attempt=0) == 8
    assert (again.images, again.costs) == ({"a", "b", "c"}, [0.25, 0.5])
    assert len(journal.verify(ledger)) == 9


def test_a_cost_of_nothing_is_a_known_cost(tmp_path):
    found = Ledger(RunDir(tmp_path), tmp_path / "x.jsonl")
    found.append("reply", send=0, outcome="answered", cost=0.0)
    assert found.costs == [0.0]
    assert journal.summary(tmp_path / "x.jsonl")["cost"] == 0.0


@pytest.mark.parametrize("torn", [b'{"a": 3', b'{"a": 3}', b"\xc3", b" "])
def test_a_torn_line_is_cut_off(tmp_path, torn):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n' + torn)
    opened = Journal(RunDir(tmp_path), path)
    opened.append({"a": 4})
    assert opened.rows() == [{"a": 1}, {"a": 2}, {"a": 4}]


def test_a_file_of_half_a_line_is_empty(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1')
    opened = Journal(RunDir(tmp_path), path)
    assert (opened.rows(), path.read_bytes()) == ([], b"")


def test_files_have_the_mode_of_the_run(tmp_path):
    opened = Journal(RunDir(tmp_path, 0o600), tmp_path / "deep" / "rows.jsonl")
    opened.append({})
    assert stat.S_IMODE(opened.path.stat().st_mode) == 0o600


def test_no_nan_is_written(tmp_path):
    opened = Journal(RunDir(tmp_path), tmp_path / "rows.jsonl")
    with pytest.raises(ValueError, match="not JSON compliant"):
        opened.append({"cost": float("nan")})
    assert opened.rows() == []


@given(
    rows=st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), max_size=4), cut=st.integers(1, 30)
)
def test_a_kill_costs_one_line_at_most(tmp_path_factory, rows, cut):
    """Whatever texts hold (line breaks, quotes), what was on disk before the last line is still there."""
    folder = tmp_path_factory.mktemp("journal")
    opened = Journal(RunDir(folder), folder / "rows.jsonl")
    for row in [*rows, {"last": "x" * 30}]:
        opened.append(row)
    content = opened.path.read_bytes()
    opened.path.write_bytes(content[:-cut])
    assert Journal(RunDir(folder), opened.path).rows() == rows
