"""Packs as files: what is checked before any data is looked at, and what of the data stays home."""

import hashlib
import hmac
import json
from dataclasses import asdict

import pytest
from baseline.made import ABOUT
from hypothesis import given
from hypothesis import strategies as st

from finetune.baseline import pack
from finetune.errors import ConfigError, IntegrityError
from finetune.example import Prediction
from finetune.rundir import read_json, read_jsonl, sha256_file

KEY = b"k" * 32


def row(name="a", **changes):
    usual = {"id": name, "image_sha256": "0", "question": "secret question", "gold": "secret gold", "text": "ALPHA"}
    usual |= {"answer": "ALPHA", "outcome": "correct", "probabilities": None, "seconds": 0.5, "model": "m"}
    return Prediction(**(usual | {"parser": "p", "group": "secret group", "usage": {"cost": 0.5}} | changes))


@pytest.fixture
def folder(tmp_path):
    return pack.write(tmp_path / "pack", ABOUT, [row("a"), row("b", outcome="filtered")], [["x"], ["y"]])


@pytest.fixture
def shared(tmp_path, monkeypatch):
    (tmp_path / "key").write_bytes(KEY + b"\n")
    monkeypatch.setenv(pack.SITE_KEY, str(tmp_path / "key"))
    rows = [row("a"), row("b", outcome="filtered"), row("c", outcome="wrong")]
    return pack.write(tmp_path / "shared", ABOUT, rows, [["x"], ["y", "z"], []], KEY)


def about(folder, **changes):
    told = read_json(folder / pack.ABOUT)
    kept = {name: value for name, value in (told | changes).items() if value != "absent"}
    (folder / pack.ABOUT).write_text(json.dumps(kept), encoding="utf-8")


def test_written_and_read(folder):
    found = pack.read(folder)
    assert (found.ids, found.key, found.id_of("a")) == (["a", "b"], None, "a")
    assert found.rows[0] == asdict(row("a"))
    assert (found.about["n"], found.about["schema"]) == (2, 1)
    assert found.about["predictions_sha256"] == sha256_file(folder / pack.ROWS)
    assert set(pack.ABOUT_KEYS) <= set(found.about)
    pack.check_untouched(found)
    pack.check_ids(found, ["a", "b"])


def test_a_second_recording_replaces_the_first(folder):
    pack.write(folder, ABOUT, [row("c")], [[]])
    found = pack.read(folder)
    pack.check_untouched(found)
    assert found.ids == ["c"]


def test_a_shareable_pack_keeps_the_data_home(shared):
    content = "".join(file.read_text(encoding="utf-8") for file in shared.iterdir())
    assert "secret" not in content
    rows = list(read_jsonl(shared / pack.ROWS))
    assert [one["outcome"] for one in rows] == [None, "filtered", None]  # right or wrong would tell the gold
    assert [one["pixels_sent"] for one in rows] == [["x"], ["y", "z"], []]
    assert rows[0]["item"] == hmac.new(KEY, b"a", hashlib.sha256).hexdigest()
    found = pack.read(shared)
    pack.check_ids(found, ["a", "b", "c"])
    assert found.id_of("c") == found.ids[2]


def test_a_shareable_pack_needs_the_pixels_of_every_row(tmp_path):
    with pytest.raises(ValueError, match="shorter"):
        pack.write(tmp_path / "p", ABOUT, [row("a"), row("b")], [["x"]], KEY)


def test_another_key_is_noticed_and_not_told(shared, tmp_path, monkeypatch):
    (tmp_path / "other").write_bytes(b"j" * 32)
    monkeypatch.setenv(pack.SITE_KEY, str(tmp_path / "other"))
    with pytest.raises(ConfigError, match="another key than the one in FINETUNE_SITE_KEY") as error:
        pack.read(shared)
    assert "jjj" not in str(error.value)


@given(st.binary(min_size=1), st.text(), st.text())
def test_keyed_ids_differ_as_the_ids_do(key, one, other):
    assert (pack.keyed(key, one) == pack.keyed(key, other)) == (one == other)
    assert len(pack.key_check(key)) == 16


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"k" * 31, "holds 31 bytes, expected at least 32"),
        (b"  " + b"k" * 30 + b"\n\n", "holds 30 bytes"),
        (b"", "holds 0 bytes"),
    ],
)
def test_short_keys(tmp_path, monkeypatch, content, told):
    (tmp_path / "key").write_bytes(content)
    monkeypatch.setenv(pack.SITE_KEY, str(tmp_path / "key"))
    with pytest.raises(ConfigError, match=told):
        pack.site_key()


def test_a_folder_is_no_key(tmp_path, monkeypatch):
    monkeypatch.setenv(pack.SITE_KEY, str(tmp_path))
    with pytest.raises(ConfigError, match="cannot be read"):
        pack.site_key()


@pytest.mark.parametrize("gone", [pack.ABOUT, pack.ROWS])
def test_half_a_pack_is_none(folder, gone):
    (folder / gone).unlink()
    with pytest.raises(ConfigError, match=r"is no recorded pack; expected pack\.json and predictions\.jsonl"):
        pack.read(folder)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        *(({key: "absent"}, f"lacks {key}; record") for key in pack.ABOUT_KEYS),
        ({"schema": 2}, "has schema 2, expected 1"),
        ({"schema": "1"}, "has schema '1', expected 1"),
        ({"pixel_policy": None}, "has a pixel_policy without max_side"),
        ({"pixel_policy": {}}, "without max_side"),
        ({"pixel_policy": {"max_side": 0}}, "without max_side"),
        ({"pixel_policy": {"max_side": "512"}}, "without max_side"),
    ],
)
def test_descriptions_that_cannot_be_used(folder, changes, told):
    about(folder, **changes)
    with pytest.raises(IntegrityError, match=told):
        pack.read(folder)


@pytest.mark.parametrize(
    ("content", "told"), [("[]", "is no JSON object"), ("7", "is no JSON object"), ("{", "not readable")]
)
def test_a_description_that_is_no_object(folder, content, told):
    (folder / pack.ABOUT).write_text(content, encoding="utf-8")
    with pytest.raises(IntegrityError, match=told):
        pack.read(folder)


def rewritten(folder, change):
    rows = [change(row) if index else row for index, row in enumerate(read_jsonl(folder / pack.ROWS))]
    (folder / pack.ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"text": 5}, "line 2: text are none of a reply"),
        ({"model": None}, "line 2: model are"),
        ({"id": ["b"]}, "line 2: id are"),
        ({"usage": {"cost": "much"}}, "line 2: usage are"),
        ({"usage": {"cost": float("nan")}}, "line 2: usage are"),
        ({"usage": {"cost": -1}}, "line 2: usage are"),
        ({"usage": [1]}, "line 2: usage are"),
        ({"text": None, "model": 1}, "line 2: text, model are"),
        ({"seconds": float("nan")}, "line 2: outcome or seconds"),
        ({"seconds": True}, "line 2: outcome or seconds"),
        ({"seconds": -0.1}, r"outcome or seconds are none of a reply \(\"filtered\", -0\.1\)"),
        ({"seconds": None}, "line 2: outcome or seconds"),
        ({"outcome": None}, "line 2: outcome or seconds"),
        ({"outcome": ["wrong"]}, "line 2: outcome or seconds"),
    ],
)
def test_rows_that_are_no_replies(folder, changes, told):
    rewritten(folder, lambda row: row | changes)
    with pytest.raises(IntegrityError, match=told):
        pack.read(folder)


@pytest.mark.parametrize("key", pack.ROW_KEYS)
def test_rows_that_lack_a_key(folder, key):
    rewritten(folder, lambda row: {name: value for name, value in row.items() if name != key})
    with pytest.raises(IntegrityError, match=rf"line 2 lacks {key}\."):
        pack.read(folder)


@pytest.mark.parametrize("line", [7, None, "text", []])
def test_rows_that_are_no_objects(folder, line):
    rewritten(folder, lambda _: line)
    with pytest.raises(IntegrityError, match="line 2 lacks id, image_sha256"):
        pack.read(folder)


def test_a_shareable_row_tells_no_verdict(shared):
    rewritten(shared, lambda row: row | {"outcome": "correct"})
    with pytest.raises(IntegrityError, match=r"line 2: outcome or seconds are none of a reply \(\"correct\""):
        pack.read(shared)


def test_doubled_ids_are_named(folder):
    rewritten(folder, lambda row: row | {"id": "a"})
    with pytest.raises(IntegrityError, match=r"holds 1 ids more than once: a\."):
        pack.read(folder)


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (["b", "a"], "2 rows are not in the order of the test: a, b"),
        (["a"], "1 rows are of no test example: b"),
        (["a", "b", "c"], "1 examples of the test have no row: c"),
        (["a", "c"], "1 examples of the test have no row: c; 1 rows are of no test example: b"),
        ([], "2 rows are of no test example: a, b"),
        ([*"abcdefgh"], "6 examples of the test have no row: c, d, e, f, g, ..."),
    ],
)
def test_rows_and_examples_are_the_same_in_the_same_order(folder, ids, told):
    with pytest.raises(IntegrityError, match=told.replace(".", r"\.")):
        pack.check_ids(pack.read(folder), ids)


def test_a_changed_row_is_no_recorded_row(folder):
    rewritten(folder, lambda row: row | {"text": "BETA"})
    with pytest.raises(IntegrityError, match="is not the file that was recorded"):
        pack.check_untouched(pack.read(folder))
