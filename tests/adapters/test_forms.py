"""Forms that people have, each brought to the examples that its rows mean; and what of them is refused by name."""

import base64
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from adapters.sources import encoded, label_studio, labelme, picture, save, write_csv
from PIL import Image

from data_adapters import coco, conversations, cvat, messages, table
from data_adapters import label_studio as studio
from data_adapters import labelme as lm
from finetune.errors import DataError
from finetune.example import BadRow, Box, ImageRef, Message
from finetune.images import decode

PNG = encoded(picture(1))
TEXT = base64.b64encode(PNG).decode()
URL = f"data:image/png;base64,{TEXT}"
ASKED, REPLY = Message("user", "What is it?"), "A dent."


@pytest.fixture
def chats(tmp_path):
    """Reads rows through the adapter `messages`."""
    source, images = tmp_path / "source", tmp_path / "run" / "images"
    source.mkdir()
    images.mkdir(parents=True)

    def read(*rows, **options):
        if rows:
            (source / "messages.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return list(messages.read(source, messages.Options(**options), images))

    read.source, read.run = source, images.parent
    return read


def parts(url):
    return [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is it?"}]


REPLIED = {"role": "assistant", "content": REPLY}
PLAIN = [{"role": "user", "content": "<image>What is it?"}, REPLIED]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": parts(URL)}, REPLIED]},
        {"images": [URL], "messages": PLAIN},
        {"images": [TEXT], "query": "<image>What is it?", "response": REPLY},
        {"images": [{"bytes": TEXT, "path": None}], "messages": PLAIN},
        {"image": URL, "prompt": "What is it?", "completion": REPLY},
        {"image": URL, "prompt": [{"role": "user", "content": "What is it?"}], "completion": [REPLIED]},
        {"images": ["a.png"], "messages": PLAIN},
    ],
)
def test_a_picture_in_a_row_is_written_into_the_run(chats, row):
    (chats.source / "a.png").write_bytes(PNG)
    (example,) = chats(row)
    assert (example.messages, example.target) == ((ASKED,), REPLY)
    (ref,) = example.images
    assert np.array_equal(np.asarray(decode.load(chats.run, ref)), np.asarray(picture(1)))
    assert example.row == "messages.jsonl line 1"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"images": [URL[:-40]], "messages": PLAIN}, "cannot be decoded"),
        (
            {"images": ["data:image/png;base64,@@@@"], "messages": PLAIN},
            "26 characters for a picture that is not base64",
        ),
        ({"images": [f"{TEXT}?"], "messages": PLAIN}, "that is not base64"),
        ({"images": ["data:image/svg+xml,<svg/>"], "messages": PLAIN}, "is a URL; nothing is fetched"),
        ({"images": ["https://example.org/a.png"], "messages": PLAIN}, "is a URL; nothing is fetched"),
        ({"messages": [{"role": "user", "content": "What?"}, REPLIED]}, "holds no picture"),
    ],
)
def test_rows_that_are_refused_without_repeating_the_picture(chats, row, reason):
    (bad,) = chats(row)
    assert isinstance(bad, BadRow)
    assert reason in bad.reason
    assert TEXT[:30] not in repr(bad)


def test_a_picture_in_a_row_is_bounded(chats, monkeypatch):
    monkeypatch.setattr(messages._inline, "MAX_TEXT", 100)
    (bad,) = chats({"images": [URL], "messages": PLAIN})
    assert bad.reason == f"holds a picture of {len(URL)} characters; at most 100 are read."


def test_boxes_on_a_turned_picture_in_a_row(chats):
    """20 x 10 stored, turned by EXIF to 10 x 20: what the boxes mean must be said, as of a file."""
    exif = Image.Exif()
    exif[0x0112] = 6
    save(chats.source / "a.jpg", Image.new("RGB", (20, 10)), exif=exif)
    url = "data:image/jpeg;base64," + base64.b64encode((chats.source / "a.jpg").read_bytes()).decode()
    row = {"images": [url], "messages": PLAIN, "objects": {"ref": ["dent"], "bbox": [[18, 1, 19, 2]]}}
    assert "EXIF turns the image (orientation 6)" in chats(row)[0].reason
    assert chats(row, drawn_on="stored")[0].boxes == (Box(8, 18, 9, 19, "dent"),)
    row["objects"]["bbox"] = [[8, 18, 9, 19]]
    assert chats(row, drawn_on="upright")[0].boxes == (Box(8, 18, 9, 19, "dent"),)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_rows_of_trl(chats, kind):
    """Arrow gives every part all keys, most of them null."""
    content = [{"type": "image", "text": None}, {"type": "text", "text": "What is it?"}]
    rows = [
        {
            "images": [{"bytes": PNG, "path": None}],
            "messages": [
                {"role": "user", "content": content},
                {"role": "assistant", "content": [{"type": "text", "text": REPLY}]},
            ],
            "lot": "7",
        }
    ] * 2
    found, name = pa.Table.from_pylist(rows), f"train-00000-of-00001.{kind}"
    if kind == "parquet":
        pyarrow.parquet.write_table(found, chats.source / name)
    else:
        with pa.OSFile(str(chats.source / name), "wb") as sink, pa.ipc.new_stream(sink, found.schema) as writer:
            writer.write_table(found)
    one, two = chats(group="lot", split="path", meta=("lot",))
    assert (one.messages, one.target, one.group, one.split, one.meta) == ((ASKED,), REPLY, "7", "train", {"lot": "7"})
    assert (one.row, two.row) == (f"{name} row 1", f"{name} row 2")
    assert one.images == two.images
    assert one.id != two.id


def test_a_tsv_of_vlmevalkit(chats):
    """A later row names a picture by the index of the row that holds it; empty choices are none."""
    lines = ["index\timage\tquestion\tA\tB\tC\tanswer", f"1\t{TEXT}\tWhich?\tx\ty\t\tB", "2\t1\tAnd now?\tx\ty\tz\tC"]
    (chats.source / "set.tsv").write_text("\n".join(lines) + "\n")
    one, two = chats(file="set.tsv")
    assert (one.messages, one.target) == ((Message("user", "Which?\nA. x\nB. y"),), "B")
    assert (two.messages, two.target) == ((Message("user", "And now?\nA. x\nB. y\nC. z"),), "C")
    assert one.images == two.images


def test_weights_count_here_too(chats):
    (row,) = chats({"images": [URL], "messages": [PLAIN[0], REPLIED | {"weight": 0}]})
    assert row.reason.startswith("excludes its last reply from the loss")


def test_absolute_paths_below_the_source(tmp_path):
    save(tmp_path / "pictures" / "a.png", picture(0))
    inside, outside = str(tmp_path / "pictures" / "a.png"), str(tmp_path.parent / "b.png")
    rows = [{"images": [path], "query": "<image>What?", "response": "x"} for path in (inside, outside)]
    (tmp_path / "conversations.json").write_text(json.dumps(rows))
    good, bad = conversations.read(tmp_path, conversations.Options(images="pictures"), tmp_path)
    assert good.images == (ImageRef("pictures/a.png"),)
    assert decode.load(tmp_path, good.images[0]).size == (8, 6)
    with pytest.raises(DataError, match="is absolute"):
        decode.load(tmp_path, bad.images[0])
    write_csv(tmp_path / "labels.csv", [["image", "label"], [inside, "x"]])
    (row,) = table.read(tmp_path, table.Options(), tmp_path)
    assert row.images == (ImageRef("pictures/a.png"),)


@pytest.mark.parametrize("column", ["image", "filename", "file_name", "path", "image_path"])
@pytest.mark.parametrize("folder", ["", "images"])
def test_columns_and_folder_of_a_table(tmp_path, column, folder):
    save(tmp_path / folder / "a.png", picture(0))
    write_csv(tmp_path / "labels.csv", [["label", column], ["x", "a.png"]])
    (row,) = table.read(tmp_path, table.Options(), tmp_path)
    assert row.images == (ImageRef("images/a.png" if folder else "a.png"),)
    (tmp_path / "rows.jsonl").write_text(json.dumps({"label": "x", column: "a.png"}))
    (other,) = table.read(tmp_path, table.Options(file="rows.jsonl"), tmp_path)
    assert other.images == row.images


def test_two_columns_that_may_name_the_image(tmp_path):
    save(tmp_path / "a.png", picture(0))
    write_csv(tmp_path / "labels.csv", [["filename", "path", "label"], ["a.png", "b/a.png", "x"]])
    with pytest.raises(DataError, match=r"but filename and path: say data.options.image=filename or"):
        list(table.read(tmp_path, table.Options(), tmp_path))
    (row,) = table.read(tmp_path, table.Options(image="filename"), tmp_path)
    assert row.images == (ImageRef("a.png"),)


def coco_file(place, name):
    place.parent.mkdir(parents=True, exist_ok=True)
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 3]}
    tree = {"images": [{"id": 1, "file_name": name}], "annotations": [box], "categories": [{"id": 1, "name": "dent"}]}
    place.write_text(json.dumps(tree))


def test_a_folder_a_split_as_roboflow_exports_it(tmp_path):
    for number, split in enumerate(("train", "valid", "test")):
        save(tmp_path / split / "a.png", picture(number))
        coco_file(tmp_path / split / "_annotations.coco.json", "a.png")
    rows = list(coco.read(tmp_path, coco.Options(split="path"), tmp_path))
    assert [(row.images[0].path, row.split) for row in rows] == [
        ("test/a.png", "test"),
        ("train/a.png", "train"),
        ("valid/a.png", "val"),
    ]
    assert {row.boxes for row in rows} == {(Box(1, 2, 4, 5, "dent"),)}


@pytest.mark.parametrize("below", ["", "images/"])
def test_a_folder_a_split_as_coco_has_it(tmp_path, below):
    for number, split in enumerate(("train2017", "val2017")):
        save(tmp_path / f"{below}{split}" / "a.png", picture(number))
        coco_file(tmp_path / "annotations" / f"instances_{split}.json", "a.png")
    rows = list(coco.read(tmp_path, coco.Options(split="path"), tmp_path))
    assert [(row.images[0].path, row.split) for row in rows] == [
        (f"{below}train2017/a.png", "train"),
        (f"{below}val2017/a.png", "val"),
    ]
    (tmp_path / f"{below}val2017").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"instances_val2017.json has no folder val2017/ or images/val2017/"):
        list(coco.read(tmp_path, coco.Options(), tmp_path))


def of_cvat(root, inside, **attributes):
    save(root / "images" / "a.png", picture(0))
    named = "".join(f' {key}="{value}"' for key, value in ({"name": "a.png"} | attributes).items())
    (root / "annotations.xml").write_text(f"<annotations><image{named}>{inside}</image></annotations>")
    (row,) = cvat.read(root, cvat.Options(), root)
    return row


def test_boxes_and_polygons_of_cvat(tmp_path):
    box = '<box label="dent" xtl="1.5" ytl="2" xbr="4" ybr="5"/><polygon label="hole" points="1,1;5,1;5,4"/>'
    assert of_cvat(tmp_path, box, width=8, height=6).boxes == (Box(1.5, 2, 4, 5, "dent"), Box(1, 1, 5, 4, "hole"))
    assert of_cvat(tmp_path, "").boxes == ()


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ('<box label="dent" xtl="1" ytl="2" xbr="4" ybr="5" rotation="30.0"/>', "has rotation 30.0: its box is turned"),
        ('<polyline label="dent" points="1,1;2,2"/>', "annotation 1 is a <polyline>, which has no box"),
        ('<points label="dent" points="1,1"/>', "annotation 1 is a <points>, which has no box"),
        ('<tag label="dent"/>', "annotation 1 is a <tag>, which has no box"),
        ('<box xtl="1" ytl="2" xbr="4" ybr="5"/>', "<box> has no label"),
        ('<box label="dent" xtl="1" ytl="2" xbr="x" ybr="5"/>', "xbr of <box> is 'x', expected a number"),
        ('<polygon label="dent" points="1,1;2"/>', "has points that are not x,y;x,y"),
    ],
)
def test_what_of_cvat_is_no_box(tmp_path, inside, reason):
    row = of_cvat(tmp_path, inside)
    assert isinstance(row, BadRow)
    assert reason in row.reason


def test_videos_of_cvat_are_refused(tmp_path):
    (tmp_path / "annotations.xml").write_text("<annotations><track/></annotations>")
    with pytest.raises(DataError, match=r"holds <track>, which is about videos"):
        list(cvat.read(tmp_path, cvat.Options(), tmp_path))


def tasks(root, change):
    """The rows of a source of Label Studio with one task, changed."""
    label_studio(root, ("a",))
    tree = json.loads((root / "annotations.json").read_text())
    change(tree[0])
    (root / "annotations.json").write_text(json.dumps(tree))
    (row,) = studio.read(root, studio.Options(), root)
    return row


def test_percents_of_label_studio_are_pixels(tmp_path):
    """12.5 % and 37.5 % of 8 px are 1 and 3; a third and a half of 6 px are 2 and 3."""
    (box,) = tasks(tmp_path, lambda task: None).boxes
    assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx((1, 2, 4, 5))
    assert box.label == "cut"


@pytest.mark.parametrize("url", ["/data/local-files/?d=sub%20folder/b.png", "sub folder/b.png"])
def test_addresses_of_local_storage(tmp_path, url):
    save(tmp_path / "images" / "sub folder" / "b.png", picture(3))
    row = tasks(tmp_path, lambda task: task["data"].update(image=url))
    assert row.images == (ImageRef("images/sub folder/b.png"),)


def test_a_choice_of_label_studio_is_the_answer(tmp_path):
    choice = [{"type": "choices", "value": {"choices": ["good"]}}]
    row = tasks(tmp_path, lambda task: task["annotations"][0].update(result=choice))
    assert (row.target, row.boxes) == ("good", ())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t["annotations"][0]["result"][0]["value"].update(rotation=5), "has rotation 5: turned boxes"),
        (lambda t: t["annotations"][0]["result"][0].update(type="brushlabels"), "result 1 is 'brushlabels'"),
        (lambda t: t["annotations"].append({"result": []}), "has 2 annotations; expected one"),
        (lambda t: t["annotations"][0].update(was_cancelled=True), "has 0 annotations; expected one"),
        (lambda t: t["annotations"][0]["result"][0].update(original_width=9), "is for 9 x 6 pixels"),
        (lambda t: t["data"].update(image="https://example.org/a.png"), "is a URL; nothing is fetched"),
        (lambda t: t["data"].clear(), "expected the path of an image"),
    ],
)
def test_what_of_label_studio_is_refused(tmp_path, change, reason):
    row = tasks(tmp_path, change)
    assert isinstance(row, BadRow)
    assert reason in row.reason


def shaped(root, **changes):
    labelme(root, ("a",))
    tree = json.loads((root / "a.json").read_text())
    tree["shapes"][0] |= changes
    (root / "a.json").write_text(json.dumps(tree))
    (row,) = lm.read(root, lm.Options(), root)
    return row


@pytest.mark.parametrize(
    ("changes", "box"),
    [
        ({}, Box(1, 2, 4, 5, "cut")),
        ({"shape_type": "polygon", "points": [[1, 1], [6, 2], [3, 5]]}, Box(1, 1, 6, 5, "cut")),
        ({"shape_type": "circle", "points": [[4, 3], [4, 5]]}, Box(2, 1, 6, 5, "cut")),
    ],
)
def test_shapes_of_labelme(tmp_path, changes, box):
    assert shaped(tmp_path, **changes).boxes == (box,)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shape_type": "line"}, "shape 1 is a line, which has no box"),
        ({"shape_type": "point", "points": [[1, 1]]}, "shape 1 is a point, which has no box"),
        ({"label": ""}, "shape 1 has the label ''"),
        ({"points": [[1], [2, 3]]}, "shape 1 has no list of points"),
    ],
)
def test_what_of_labelme_is_refused(tmp_path, changes, reason):
    assert reason in shaped(tmp_path, **changes).reason


def test_images_without_a_file_of_labelme(tmp_path):
    labelme(tmp_path, ("a",))
    save(tmp_path / "b.png", picture(1))
    (tmp_path / "c.json").write_text("{}")
    _, missing, alone = lm.read(tmp_path, lm.Options(), tmp_path)
    assert (missing.row, missing.reason[:29]) == ("b.png", "has no JSON file of its name;")
    assert alone == BadRow("c.json", "c.json", "has no image of its name.")
    _, empty, _ = lm.read(tmp_path, lm.Options(missing="background"), tmp_path)
    assert empty.boxes == ()
