"""Arrow and Parquet files with pictures inside, written by hand: classes, columns, lists, splits and refusals."""

import io
import json

import pyarrow as pa
import pyarrow.parquet
import pytest
from adapters.sources import encoded, picture, save

from data_adapters import huggingface
from data_adapters.huggingface import Options
from finetune.errors import DataError
from finetune.example import BadRow, Example, ImageRef, Message
from finetune.images import decode

PNG = encoded(picture(0))
ROW = {"image": {"bytes": PNG, "path": None}, "label": "dent"}


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "run" / "images"
    folder.mkdir(parents=True)
    return folder


def noted(table, features):
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def parquet(place, rows, features=None):
    table = pa.Table.from_pylist(rows)
    place.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table if features is None else noted(table, features), place)


def arrow(place, rows, features=None):
    """A stream, which is what `save_to_disk` writes."""
    table = pa.Table.from_pylist(rows)
    table = table if features is None else noted(table, features)
    place.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(place), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def read(root, folder, **options):
    return list(huggingface.read(root, Options(**options), folder))


@pytest.mark.parametrize("write", [parquet, arrow])
def test_a_file_by_hand(root, images, write):
    file = f"data-00000-of-00001.{write.__name__}"
    write(root / file, [ROW, {"image": {"bytes": encoded(picture(1)), "path": "x.png"}, "label": "01"}])
    first, second = read(root, images)
    assert first == Example(f"{file}#1", first.images, "dent", f"{file}#1", row=f"{file} row 1")
    assert (second.id, second.target, second.group) == (f"{file}#2", "01", f"{file}#2")
    for number, example in enumerate((first, second)):
        assert decode.load(images.parent, example.images[0]).tobytes() == picture(number).tobytes()


def test_every_column_that_an_option_names(root, images):
    more = {"uid": 7, "patient": "p1", "part": "val", "q": "What is it?", "site": "A", "ok": True}
    parquet(root / "a.parquet", [{"scan": PNG, "kind": "dent"} | more])
    (example,) = read(
        root, images, image="scan", label="kind", id="uid", group="patient", split="part", question="q",
        meta=("site", "ok"),
    )  # fmt: skip
    assert example == Example(
        "7", example.images, "dent", "p1", (Message("user", "What is it?"),), "val",
        meta={"site": "A", "ok": "true"}, row="a.parquet row 1",
    )  # fmt: skip


@pytest.mark.parametrize("write", [parquet, arrow])
def test_names_of_classes(root, images, write):
    features = {"label": {"_type": "ClassLabel", "names": ["good", "dent"]}}
    write(root / f"a.{write.__name__}", [ROW | {"label": n} for n in (1, 0, -1, 2, None)], features)
    rows = read(root, images)
    assert [row.target for row in rows[:2]] == ["dent", "good"]
    assert [row.reason for row in rows[2:]] == [
        f"'label' is {value}; the classes are 0 to 1 (-1 is unlabelled)." for value in (-1, 2, None)
    ]


def test_numbers_without_names_stay_numbers(root, images):
    parquet(root / "a.parquet", [ROW | {"label": 1}], {"label": {"_type": "Value", "dtype": "int64"}})
    assert read(root, images)[0].target == "1"


@pytest.mark.parametrize("note", ['{"info": 1}', "{", '{"info": {"features": []}}', "[]", "\u00ff"])
def test_a_note_of_features_that_is_damaged(root, images, note):
    table = pa.Table.from_pylist([ROW]).replace_schema_metadata({"huggingface": note})
    pyarrow.parquet.write_table(table, root / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet: its note of features is damaged"):
        read(root, images)


def test_lists_of_pictures_in_their_order(root, images):
    both = [{"bytes": PNG, "path": None}, {"bytes": encoded(picture(1)), "path": None}]
    parquet(root / "a.parquet", [{"image": both, "label": "x"}, {"image": both[::-1], "label": "x"}])
    one, other = read(root, images)
    assert len(one.images) == 2
    assert one.images == other.images[::-1]


def test_pictures_that_are_files_of_the_folder(root, images):
    save(root / "pictures" / "a.png", picture(3))
    parquet(root / "a.parquet", [{"image": "pictures/a.png", "label": "x"}])
    parquet(root / "b.parquet", [{"image": {"bytes": None, "path": "pictures/a.png"}, "label": "x"}])
    one, other = read(root, images)
    assert one.images == other.images
    assert decode.load(images.parent, one.images[0]).tobytes() == picture(3).tobytes()


def test_splits_from_the_path(root, images):
    for place in ("train/data-0.arrow", "validation-00000-of-00001.parquet", "test/0000.parquet", "rest/0.parquet"):
        (arrow if place.endswith("arrow") else parquet)(root / place, [ROW])
    found = {row.row.split()[0]: row.split for row in read(root, images, split="path")}
    assert found == {
        "rest/0.parquet": None,
        "test/0000.parquet": "test",
        "train/data-0.arrow": "train",
        "validation-00000-of-00001.parquet": "val",
    }


def test_caches_and_hidden_files_are_left_alone(root, images):
    for place in ("data.arrow", "cache-1f.arrow", "indices-1f.arrow", ".tmp.arrow"):
        arrow(root / place, [ROW])
    assert [row.id for row in read(root, images)] == ["data.arrow#1"]


def test_more_rows_than_one_batch(root, images):
    rows = [ROW | {"label": str(n)} for n in range(70)]
    parquet(root / "b.parquet", rows)
    arrow(root / "a.arrow", rows)
    found = read(root, images)
    assert [row.target for row in found] == [str(n) for n in range(70)] * 2
    assert found[69].row == "a.arrow row 70"
    assert len(list(images.iterdir())) == 1


@pytest.mark.parametrize(
    ("changed", "options", "reason"),
    [
        ({"label": None}, {}, "'label' is None, expected text."),
        ({"label": ""}, {}, "'label' is '', expected text."),
        ({"label": 0.5}, {}, "'label' is 0.5, expected text."),
        ({"label": ["x"]}, {}, "'label' is ['x'], expected text."),
        ({"lot": None}, {"group": "lot"}, "'lot' is None, expected text."),
        ({"lot": ""}, {"id": "lot"}, "'lot' is '', expected text."),
        ({"lot": 1.5}, {"meta": ("lot",)}, "'lot' is 1.5, expected text."),
        ({"lot": b"x"}, {"question": "lot"}, "'lot' is b'x', expected text."),
        ({"image": None}, {}, "'image' is None, expected the bytes of a picture."),
        ({"image": 3}, {}, "'image' is 3, expected the bytes of a picture."),
        ({"image": [PNG][:0]}, {}, "holds no picture."),
        ({"image": b""}, {}, "image 'a.parquet row 1, picture' is empty (0 bytes)."),
        ({"image": b"junk"}, {}, "image 'a.parquet row 1, picture' is none of the formats read here"),
        ({"image": {"bytes": PNG[:60], "path": None}}, {}, "image 'a.parquet row 1, picture' cannot be decoded"),
        ({"image": {"bytes": None, "path": None}}, {}, "'image' is {'bytes': None, 'path': None}, expected the bytes"),
        ({"image": "../x.png"}, {}, "image path '../x.png' climbs with '..'"),
        ({"image": "/etc/passwd"}, {}, "image path '/etc/passwd' is absolute"),
        ({"image": "https://example.org/x.png"}, {}, "image path 'https://example.org/x.png' is a URL"),
        ({"image": "gone.png"}, {}, "image 'gone.png' does not exist"),
    ],
)
def test_a_row_that_is_wrong(root, images, changed, options, reason):
    parquet(root / "a.parquet", [ROW | changed])
    (row,) = read(root, images, **options)
    assert isinstance(row, BadRow)
    assert (row.row, row.path) == ("a.parquet row 1", "")
    assert row.reason.startswith(reason)
    assert list(images.iterdir()) == []


@pytest.mark.parametrize("write", [parquet, arrow])
def test_columns_that_are_missing(root, images, write):
    write(root / f"a.{write.__name__}", [ROW])
    for options in ({"label": "kind"}, {"image": "kind"}, {"group": "kind"}, {"meta": ("kind",)}, {"split": "kind"}):
        with pytest.raises(DataError, match=rf"a.{write.__name__} has no column 'kind'; it has image, label\."):
            read(root, images, **options)


def test_damaged_files_and_none(root, images):
    with pytest.raises(DataError, match=r"holds neither .arrow nor .parquet files"):
        read(root, images)
    with pytest.raises(DataError, match=r"expected the folder that `save_to_disk` wrote, or one with Parquet files"):
        read(root / "gone", images)
    parquet(root / "b.parquet", [ROW])
    whole = (root / "b.parquet").read_bytes()
    (root / "b.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"b.parquet cannot be read: "):
        read(root, images)
    (root / "a.arrow").write_bytes(b"ARROW1" + b"\0" * 100)
    with pytest.raises(DataError, match=r"a.arrow cannot be read: "):
        read(root, images)


def test_deep_pictures_and_frames(root, images):
    deep, film = io.BytesIO(), io.BytesIO()
    picture(0).convert("L").convert("I;16").save(deep, "png")
    picture(0).save(film, "tiff", save_all=True, append_images=[picture(1)])
    parquet(root / "a.parquet", [ROW | {"image": deep.getvalue()}])
    parquet(root / "b.parquet", [ROW | {"image": film.getvalue()}])
    one, other = read(root, images)
    assert "data.options.window=[LOW,HIGH]" in one.reason
    assert "data.options.frame (0 is the first)" in other.reason
    example = read(root, images, frame=1)[1]
    assert decode.load(images.parent, example.images[0]).tobytes() == picture(1).tobytes()
    assert example.images == (ImageRef(example.images[0].path),)
