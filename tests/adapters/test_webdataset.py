"""Tar shards written by hand: samples, labels, groups, splits, hostile members, and damage."""

import io
import json
import tarfile

import pytest
from adapters.sources import encoded, picture, shard

from data_adapters import webdataset
from data_adapters.webdataset import Options
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Example, ImageRef
from finetune.images import decode

PNG = encoded(picture(0))


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "run" / "images"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def read(path, folder, **options):
    return list(webdataset.read(path, Options(**options), folder))


def sample(key, label="1", png=PNG, **fields):
    members = [(f"{key}.png", png), (f"{key}.cls", label.encode())]
    return [*members, (f"{key}.json", json.dumps(fields).encode())] if fields else members


def refused(root, folder, members, **options):
    shard(root / "a.tar", members)
    (row,) = read(root, folder, **options)
    assert isinstance(row, BadRow)
    return row


def test_shards_by_hand(root, images):
    shard(root / "b.tar", sample("x", " 1\n"))
    shard(root / "a.tar", [*sample("p/x", "yes"), *sample("p/y", "01", encoded(picture(1)))])
    first, second, third = read(root, images)
    assert (first.id, first.target, first.group, first.row) == ("a.tar/p/x", "yes", "a.tar/p/x", "a.tar p/x")
    assert (second.id, second.target) == ("a.tar/p/y", "01")
    assert third == Example("b.tar/x", first.images, "1", "b.tar/x", row="b.tar x")
    assert first.images != second.images
    assert len(list(images.iterdir())) == 2  # the same picture is written once
    assert decode.load(images.parent, second.images[0]).tobytes() == picture(1).tobytes()


def test_one_shard_by_its_own_path(root, images):
    shard(root / "a.tar", sample("x"))
    shard(root / "b.tar", sample("y"))
    assert [row.id for row in read(root / "b.tar", images)] == ["b.tar/y"]


def test_labels_groups_and_meta_from_json(root, images):
    shard(root / "val-0.tar", sample("x", kind="dent", lot=7, line="A"))
    (example,) = read(root, images, label="json:kind", group="json:lot", split="path", meta=("line", "lot"))
    assert (example.target, example.group, example.split) == ("dent", "7", "val")
    assert example.meta == {"line": "A", "lot": "7"}


@pytest.mark.parametrize(("name", "split"), [("train-000", "train"), ("set_valid_1", "val"), ("part1", None)])
def test_splits_from_the_name_of_the_shard(root, images, name, split):
    shard(root / f"{name}.tar", sample("x"))
    assert read(root, images, split="path")[0].split == split
    assert read(root, images)[0].split is None


@pytest.mark.parametrize(("rule", "group"), [(r"regex:p\d", "p1"), (r"regex:p(\d)", "1")])
def test_groups_from_the_key(root, images, rule, group):
    shard(root / "a.tar", sample("p1_x"))
    assert read(root, images, group=rule)[0].group == group


@pytest.mark.parametrize("rule", ["regex:q", "regex:p|(q)"])
def test_a_pattern_that_finds_no_group(root, images, rule):
    """The second one matches, but its group takes no part: that is no group either, not one called None."""
    row = refused(root, images, sample("p1"), group=rule)
    assert row == BadRow("a.tar p1", "p1", f"data.group={rule} does not match its key")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "parent"}, r"data.group: got 'parent', expected 'json:KEY' or 'regex:PATTERN' for webdataset"),
        ({"group": "lot"}, r"data.group: got 'lot'"),
        ({"group": "regex:["}, r"data.group: '\[' is no regular expression"),
        ({"split": "lot"}, r"data.split.column: got 'lot'; here there are no columns"),
    ],
)
def test_options_that_this_format_has_not(root, images, options, message):
    shard(root / "a.tar", sample("x"))
    with pytest.raises(ConfigError, match=message):
        read(root, images, **options)


def test_two_pictures_in_the_order_that_is_said(root, images):
    pair = [("x.test.png", PNG), ("x.temp.PNG", encoded(picture(1))), ("x.txt", "gut \u00fc\n".encode())]
    shard(root / "a.tar", pair)
    (one,) = read(root, images, images=("test.png", "temp.png"), label="txt")
    (other,) = read(root, images, images=("TEMP.png", "test.png"), label="txt")
    assert one.images == other.images[::-1]
    assert one.target == "gut \u00fc"
    row = refused(root, images, pair, label="txt")
    assert row.reason == "holds temp.png, test.png, txt; expected one picture (data.options.images)."


@pytest.mark.parametrize(
    ("members", "options", "reason"),
    [
        ([("x.cls", b"1")], {}, "holds cls; expected one picture (data.options.images)."),
        (sample("x"), {"images": ("b.png",)}, "holds cls, png; expected b.png (data.options.images)."),
        ([("x.png", PNG)], {}, "has no .cls (data.options.label); it holds png."),
        (sample("x", " \n"), {}, "its .cls is empty."),
        ([("x.png", PNG), ("x.cls", b"\xff")], {}, "its .cls is not UTF-8 (byte 0)."),
        (sample("x", png=b""), {}, "image 'x.png' is empty (0 bytes)."),
        (sample("x", png=b"junk"), {}, "image 'x.png' is none of the formats read here"),
        (sample("x", png=PNG[:60]), {}, "image 'x.png' cannot be decoded"),
        ([*sample("x"), ("x.json", b"[]")], {}, "its .json is no object."),
        ([*sample("x"), ("x.json", b"{")], {}, "is not JSON: Expecting"),
        ([*sample("x"), ("x.json", b'{"a": 1, "a": 2}')], {}, "is not JSON: it has 'a' twice"),
        ([*sample("x"), ("x.json", b"\xff")], {}, "its .json is not UTF-8 (byte 0)."),
        (sample("x", a=1), {"label": "json:kind"}, "its .json has 'kind' None, expected text."),
        (sample("x", kind=True), {"label": "json:kind"}, "its .json has 'kind' True, expected text."),
        (sample("x", kind=0.5), {"label": "json:kind"}, "its .json has 'kind' 0.5, expected text."),
        (sample("x", lot=""), {"group": "json:lot"}, "its .json has 'lot' '', expected text."),
        (sample("x", lot=[1]), {"meta": ("lot",)}, "its .json has 'lot' [1], expected text."),
    ],
)
def test_a_sample_that_is_wrong(root, images, members, options, reason):
    row = refused(root, images, members, **options)
    assert (row.row, row.path) == ("a.tar x", "x")
    assert row.reason.startswith(reason)
    assert list(images.iterdir()) == []


def test_a_sample_that_is_torn_apart_or_has_a_file_twice(root, images):
    shard(root / "a.tar", [*sample("x"), *sample("y"), *sample("x")])
    *good, bad = read(root, images)
    assert [row.id for row in good] == ["a.tar/x", "a.tar/y"]
    assert bad.reason == "occurs twice in its shard, apart; the files of a sample must follow each other."
    shard(root / "a.tar", [*sample("x"), ("x.PNG", PNG)])
    bad, good = read(root, images)
    assert (bad.row, bad.reason) == ("a.tar x.PNG", "is the second .png of its sample.")
    assert good.id == "a.tar/x"


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("../x.png", tarfile.REGTYPE, "has a path that leaves the archive."),
        ("/x.png", tarfile.REGTYPE, "has a path that leaves the archive."),
        ("a/../../x.png", tarfile.REGTYPE, "has a path that leaves the archive."),
        ("x.png", tarfile.SYMTYPE, "is a link, a pipe or a device in the archive; only plain files are read."),
        ("x.png", tarfile.LNKTYPE, "is a link, a pipe or a device in the archive; only plain files are read."),
        ("x.png", tarfile.FIFOTYPE, "is a link, a pipe or a device in the archive; only plain files are read."),
    ],
)
def test_members_that_are_never_read(root, images, name, kind, reason):
    with tarfile.open(root / "a.tar", "w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info, io.BytesIO())
    assert read(root, images) == [BadRow(f"a.tar {name}", name, reason)]


def test_a_member_that_is_too_large(root, images, monkeypatch):
    monkeypatch.setattr(webdataset, "MAX_MEMBER_BYTES", len(PNG) - 1)
    shard(root / "a.tar", [("x.png", PNG)])
    (row,) = read(root, images)
    assert row.reason == f"has {len(PNG):,} bytes; at most {len(PNG) - 1:,} are read."


@pytest.mark.parametrize("cut", [700, 5000])
def test_archives_that_are_cut_off(root, images, cut):
    shard(root / "a.tar", sample("x", png=encoded(picture(1, (64, 64)))))
    whole = (root / "a.tar").read_bytes()
    (root / "a.tar").write_bytes(whole[:cut])
    with pytest.raises(DataError, match=r"a\.tar.*(cut off|cannot be read as an uncompressed tar archive)"):
        read(root, images)


def test_sources_that_hold_no_shards(root, images):
    with pytest.raises(DataError, match=r"source holds no \.tar shards\."):
        read(root, images)
    for name in ("a.tar.gz", "a.TGZ", "p/a.tar.zst"):  # also beside others, which would be half of the data
        shard(root / "b.tar", sample("x"))
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
        with pytest.raises(DataError, match=rf"holds the compressed shard '{name}'; decompress it first\."):
            read(root, images)
        (root / name).unlink()
    (root / "a.tar").write_bytes(b"x" * 2000)
    with pytest.raises(DataError, match=r"a.tar cannot be read as an uncompressed tar archive"):
        read(root, images)


def test_a_picture_of_several_depths_needs_its_window(root, images):
    deep = io.BytesIO()
    picture(0).convert("L").convert("I;16").save(deep, "png")
    row = refused(root, images, sample("x", png=deep.getvalue()))
    assert "data.options.window=[LOW,HIGH]" in row.reason
    (example,) = read(root, images, window=(0.0, 255.0))
    assert webdataset.image("images/x.png", Options()) == ImageRef("images/x.png")
    assert example.images[0].path.startswith("images/")
