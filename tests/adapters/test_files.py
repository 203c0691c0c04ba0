"""What adapters share about files: keys, folders, splits in paths, CSV tables and strict JSON."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_adapters import _dicom_header, _files, mvtec
from finetune.errors import DataError
from finetune.example import BadRow


def touch(root, *names, content=b"x"):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train/a.png", "train"),
        ("Train/a.png", "train"),
        ("data/valid/a.png", "val"),
        ("validation-00000.parquet", "val"),
        ("a_val_1.png", "val"),
        ("test.tar", "test"),
        ("train/test/a.png", "train"),
        ("test-train.json", "test"),
        ("val2017/a.png", None),
        ("training/a.png", None),
        ("contest/a.png", None),
        ("", None),
    ],
)
def test_the_first_word_that_names_a_split(path, split):
    assert _files.split_of(path) == split


def _names_a_file(path):
    """Whether the last part of a path is a name; `a/...a` and the like are left out, whose ending is all there is."""
    return os.path.basename(path).strip(".") != "" and not os.path.basename(path).startswith("..")


@pytest.mark.parametrize(
    ("path", "key"),
    [("a.png", "a"), ("p/a.b.png", "p/a.b"), ("p.q/a", "p.q/a"), (".a", ".a"), ("a\nb.png", "a\nb"), ("A.PNG", "A")],
)
def test_keys_are_paths_without_their_ending(path, key):
    assert _files.key_of(path) == key


@given(st.text("ab./\u00e9", min_size=1, max_size=12).filter(_names_a_file))
def test_a_key_never_holds_more_than_its_path(name):
    key = _files.key_of(name)
    assert os.path.normpath(name).startswith(os.path.normpath(key)) or key.startswith("..")


@pytest.mark.parametrize(
    ("below", "relative", "joined"),
    [
        ("", "a.png", "a.png"),
        ("images", "a.png", "images/a.png"),
        ("images/", "p/a.png", "images/p/a.png"),
        ("images", "../a.png", "images/../a.png"),
        ("images", "/etc/passwd", "/etc/passwd"),
        ("images", "https://example.org/a.png", "https://example.org/a.png"),
        ("images", "data:image/png;base64,", "data:image/png;base64,"),
    ],
)
def test_joined_paths_keep_what_must_be_refused(below, relative, joined):
    assert _files.join(below, relative) == joined


def test_files_by_key_in_sorted_order(tmp_path):
    touch(tmp_path, "b.XML", "a.xml", "p/a.xml", ".hidden.xml", "p/c.txt", ".cache/d.xml")
    assert _files.files_by_key(tmp_path, "", ".xml") == {"a": "a.xml", "b": "b.XML", "p/a": "p/a.xml"}
    assert _files.files_by_key(tmp_path, "p", ".xml") == {"a": "p/a.xml"}


def test_two_files_of_one_key_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"'x/p/a.XML' and 'x/p/a.xml' share a key; which one is meant\?"):
        _files.files_by_key(touch(tmp_path, "x/p/a.XML", "x/p/a.xml"), "x", ".xml")


def test_parts_of_a_set_come_all_or_not_at_all(tmp_path):
    """One of three that was not copied would be a third of the data, and nobody would know."""
    parts = [f"t/train-{n:05}-of-00003.parquet" for n in range(3)]
    touch(tmp_path, *parts, "t/0.parquet", "b.arrow", "t/notes-of-1.txt")
    assert _files.shards(tmp_path, ".arrow", ".parquet") == ["b.arrow", "t/0.parquet", *parts]
    (tmp_path / parts[1]).unlink()
    with pytest.raises(DataError, match=r"t/train-00001-of-00003.parquet is not there, so the set is not whole\."):
        _files.shards(tmp_path, ".parquet")
    assert _files.shards(tmp_path, ".arrow") == ["b.arrow"]


def test_parts_behind_a_link_are_not_passed_by(tmp_path):
    touch(tmp_path, "in/a.tar", "out/b.tar")
    (tmp_path / "in" / "more").symlink_to(tmp_path / "out")
    with pytest.raises(DataError, match=r"in/more is a link to a folder; links are not followed, copy the folder"):
        _files.shards(tmp_path / "in", ".tar")
    (tmp_path / "in" / "more").rename(tmp_path / "in" / ".more")
    assert _files.shards(tmp_path / "in", ".tar") == ["a.tar"]


def refuses(real, closed):
    """`real`, which lists a folder, for a user who may not list the one called `closed`: root may list all."""

    def listed(path="."):
        if os.path.basename(os.fspath(path)) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    return listed


def test_a_folder_that_may_not_be_listed_is_told(tmp_path, monkeypatch):
    """`os.walk` passes it by: a part of the labels, of the shards or of the slices would be left out."""
    touch(tmp_path, "a/shut/x.tar", "tree/cable/train/good/0.png", "tree/shut/train/good/0.png")
    monkeypatch.setattr(os, "scandir", refuses(os.scandir, "shut"))
    monkeypatch.setattr(os, "listdir", refuses(os.listdir, "shut"))
    for read in (
        lambda: _files.files_by_key(tmp_path, "a", ".tar"),
        lambda: _files.shards(tmp_path, ".tar"),
        lambda: list(_dicom_header.candidates(tmp_path)),
        lambda: list(mvtec.read(tmp_path / "tree", mvtec.Options(), tmp_path)),
    ):
        with pytest.raises(DataError, match=r"shut cannot be listed \(Permission denied\)\."):
            read()


def test_images_by_key_and_what_is_none(tmp_path):
    touch(tmp_path, "i/a.png", "i/a.jpg", "i/p/b.TIF", "i/notes.txt", "i/film.mp4")
    found, bad = _files.images_by_key(tmp_path, "i")
    assert found == {"a": ["i/a.jpg", "i/a.png"], "p/b": ["i/p/b.TIF"]}
    assert [(row.row, row.path) for row in bad] == [("i/film.mp4", "i/film.mp4")]
    assert bad[0].reason.startswith("is no image this program reads")


def test_lone_names_the_others():
    rows = list(_files.lone("a", ["a.jpg", "a.png", "a.tif"]))
    assert rows[1] == BadRow(
        "a.png", "a.png", "shares the key 'a' with 'a.jpg', 'a.tif'; which one does the annotation mean?"
    )


def test_folders_below_the_root(tmp_path):
    touch(tmp_path, "in/a/x")
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "near").symlink_to(tmp_path / "in" / "a")
    root = tmp_path / "in"
    assert _files.inside(root, "") == root
    assert _files.inside(root, "near") == root / "near"
    for below, message in {
        "/a": r"'/a' is not below data.path",
        "a/..": r"'a/..' is not below data.path",
        "b": r"has no folder 'b'; it is named in data.options",
        "a/x": r"has no folder 'a/x'",
        "link": r"the folder 'link' is a link out of data.path=.*; copy it there instead",
    }.items():
        with pytest.raises(DataError, match=message):
            _files.inside(root, below)


def test_the_folder_of_a_source(tmp_path):
    touch(tmp_path, "file")
    assert _files.folder(tmp_path, "the tree") == tmp_path
    with pytest.raises(DataError, match=r"data.path is not given: name the tree \(data.path=FOLDER\)"):
        _files.folder(None, "the tree")
    with pytest.raises(DataError, match=r"file is a file; expected the tree"):
        _files.folder(tmp_path / "file", "the tree")
    with pytest.raises(DataError, match=r"gone does not exist; expected the tree"):
        _files.folder(tmp_path / "gone", "the tree")


def test_text_is_utf8_small_and_below_the_root(tmp_path):
    touch(tmp_path, "bom.txt", content="\ufeff\u00fc".encode())
    touch(tmp_path, "latin.txt", content="\u00fc".encode("latin-1"))
    touch(tmp_path, "empty.txt", content=b"")
    os.mkfifo(tmp_path / "pipe.txt")
    assert _files.read_text(tmp_path, "bom.txt") == "\u00fc"
    assert _files.read_text(tmp_path, "empty.txt") == ""
    for name, cap, message in [
        ("latin.txt", None, r"latin.txt is not UTF-8 \(.* at byte 0\); save it as UTF-8"),
        ("bom.txt", 4, r"bom.txt has 5 bytes; at most 4 are read"),
        ("gone.txt", 4, r"file 'gone.txt' does not exist"),
        ("pipe.txt", 4, r"file 'pipe.txt' is a FIFO, expected a regular file"),
        (".", 4, r"file '.' is a directory, expected a regular file"),
        ("../x", 4, r"file path '../x' climbs with '..'"),
        ("", 4, r"file path '' is empty or holds a NUL"),
    ]:
        with pytest.raises(DataError, match=message):
            _files.read_text(tmp_path, name, cap)


def rows_of(root, content, *columns):
    touch(root, "t.csv", content=content.encode())
    return list(_files.table(root, "t.csv", columns))


def test_rows_of_a_table_with_their_lines(tmp_path):
    found = rows_of(tmp_path, '\ufeffa,b\r\n1,"two\nlines"\r\n\r\n"x,y",\u00fc\r\n', "a", None, "b")
    assert found == [("t.csv line 3", {"a": "1", "b": "two\nlines"}), ("t.csv line 5", {"a": "x,y", "b": "\u00fc"})]


def test_rows_that_are_wrong(tmp_path):
    wrong = "has another number of fields than the header (a, b)."
    assert rows_of(tmp_path, "a,b\n1\n1,2,3\n ,2\n1,\n", "a") == [
        BadRow("t.csv line 2", "", wrong),
        BadRow("t.csv line 3", "", wrong),
        BadRow("t.csv line 4", "", "no value for a"),
        ("t.csv line 5", {"a": "1", "b": ""}),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("b,c\n", r"t.csv has no column 'a'; its header has b, c\."),
        ("", r"t.csv has no column 'a'; its header has nothing\."),
        ("a;b\n1;2\n", r"its header has a;b\. Its fields are separated by ';': save it with commas\."),
        ("a,b,b\n", r"t.csv has two columns of one name; its header has a, b, b\."),
        ("a\n" + "x" * 200_000 + "\n", r"t.csv line 2 cannot be read: field larger than field limit"),
    ],
)
def test_tables_that_are_none(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        rows_of(tmp_path, content, "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 1}}', r"is not JSON: it has 'c' twice"),
        ("[Infinity]", r"is not JSON: Infinity is no number of JSON"),
        ("[-Infinity]", r"is not JSON: -Infinity is no number of JSON"),
        ("[1,]", r"is not JSON: "),
        ("'a'", r"is not JSON: Expecting value"),
    ],
)
def test_strict_json(text, message):
    with pytest.raises(DataError, match=message):
        _files.parse_json(text)
