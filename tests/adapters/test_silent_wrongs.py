"""Annotations that were read as something else without a word: each is refused by name, or honoured."""

import json

import numpy as np
import pyarrow as pa
import pytest
from adapters.dicoms import ct
from adapters.sources import encoded, picture, save
from PIL import Image

from data_adapters import _boxes, _dicom_image, coco, conversations, huggingface, masks, voc, yolo
from data_adapters._dicom_window import Rule
from finetune.errors import DataError
from finetune.example import BadRow, Box, Message
from finetune.images.decode import Header

SIZE = (20, 10)


def place(*corners, label="dent"):
    return _boxes.place([Box(*each, label) for each in corners], Header(20, 10), "upright")


def test_boxes_that_are_shares_of_the_image():
    with pytest.raises(DataError, match=r"every box lies within the first pixel \(\[0.1, 0.2, 0.5, 0.75\]\): these"):
        place((0.1, 0.2, 0.5, 0.75), (0, 0, 1, 1))
    assert len(place((0.1, 0.2, 0.5, 0.75), (3, 3, 5, 5))) == 2
    assert place((0, 0, 1, 1)) == (Box(0, 0, 1, 1, "dent"),)


def test_a_box_that_stands_twice():
    with pytest.raises(DataError, match=r"box 3 \(dent\) is box 1 once more"):
        place((1, 1, 4, 4), (2, 2, 4, 4), (1, 1, 4, 4))
    other = Box(1, 1, 4, 4, "hole")
    assert len(_boxes.place([Box(1, 1, 4, 4, "dent"), other], Header(20, 10), "upright")) == 2


@pytest.mark.parametrize(("turned", "fine"), [(30.0, False), ("12", False), (0.0, True), (0, True), ("0.0", True)])
def test_boxes_that_cvat_turned_in_coco(tmp_path, turned, fine):
    save(tmp_path / "images" / "a.png", picture(0, SIZE))
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "attributes": {"rotation": turned}}
    tree = {"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "dent"}]}
    (tmp_path / "annotations.json").write_text(json.dumps(tree | {"annotations": [box]}))
    (row,) = coco.read(tmp_path, coco.Options(), tmp_path)
    if fine:
        assert row.boxes == (Box(1, 1, 6, 6, "dent"),)
    else:
        assert isinstance(row, BadRow)
        assert row.reason.startswith(f"annotation 1 has attributes.rotation {turned!r}")


@pytest.mark.parametrize(("turned", "fine"), [("30.0", False), ("0.0", True)])
def test_boxes_that_cvat_turned_in_voc(tmp_path, turned, fine):
    save(tmp_path / "JPEGImages" / "a.png", picture(0, SIZE))
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text(
        "<annotation><object><name>dent</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>6</xmax><ymax>6</ymax></bndbox>"
        f"<attributes><attribute><name>rotation</name><value>{turned}</value></attribute></attributes>"
        "</object></annotation>"
    )
    (row,) = voc.read(tmp_path, voc.Options(), tmp_path)
    if fine:
        assert row.boxes == (Box(1, 1, 6, 6, "dent"),)
    else:
        assert row.reason.startswith("object 1 has the attribute rotation '30.0'")


def yolo_set(root, image, label, text, names="data.yaml"):
    save(root / image, picture(0, SIZE))
    (root / label).parent.mkdir(parents=True, exist_ok=True)
    (root / label).write_text(text)
    (root / names).write_text("names: [dent]\n" if names.endswith("l") else "dent\n")


@pytest.mark.parametrize("missing", ["refuse", "background"])
@pytest.mark.parametrize(
    ("image", "label"),
    [("Images/a.png", "Labels/a.txt"), ("IMAGES/train/a.png", "labels/train/a.txt"), ("images/a.png", "LABELS/a.txt")],
)
def test_folders_of_yolo_in_another_case(tmp_path, image, label, missing):
    yolo_set(tmp_path, image, label, "0 0.5 0.5 0.5 0.4\n")
    (row,) = yolo.read(tmp_path, yolo.Options(missing=missing), tmp_path)
    assert row.boxes == (Box(5, 3, 15, 7, "dent"),)


@pytest.mark.parametrize("label", ["annotations/a.txt", "txt/a.txt", "boxes/train/a.txt"])
def test_label_files_that_no_rule_connects(tmp_path, label):
    """With missing=background every box of such a set vanished."""
    yolo_set(tmp_path, "images/a.png", label, "0 0.5 0.5 0.5 0.4\n")
    (tmp_path / "README.txt").write_text("10 20 pictures of parts\n")
    (tmp_path / "train.txt").write_text("images/a.png\n")
    _, lost = yolo.read(tmp_path, yolo.Options(missing="background"), tmp_path)
    assert isinstance(lost, BadRow)
    assert (lost.row, lost.reason[:35]) == (label, "holds boxes and has no image of its")


def test_yolo_of_cvat(tmp_path):
    """YOLO 1.1: obj.names, and each text beside its image."""
    yolo_set(tmp_path, "obj_train_data/a.png", "obj_train_data/a.txt", "0 0.5 0.5 0.5 0.4\n", names="obj.names")
    (tmp_path / "obj.data").write_text("classes = 1\n")
    (tmp_path / "train.txt").write_text("data/obj_train_data/a.png\n")
    (row,) = yolo.read(tmp_path, yolo.Options(), tmp_path)
    assert row.boxes == (Box(5, 3, 15, 7, "dent"),)


@pytest.mark.parametrize(
    "points",
    [
        "0.4 0.5 1 0.6 0.5 0",
        "0.4 0.5 2 0.6 0.5 1",
        "0.4 0.5 2 0.6 0.5 1 0.5 0.5 2",
        "0.4 0.5 1 0.6 0.5 1 0.5 0.4 1 0 0 0",
    ],
)
def test_key_points_behind_a_box_are_no_polygon(tmp_path, points):
    yolo_set(tmp_path, "images/a.png", "labels/a.txt", f"0 0.5 0.5 0.5 0.4 {points}\n")
    (row,) = yolo.read(tmp_path, yolo.Options(), tmp_path)
    assert isinstance(row, BadRow)
    assert "YOLO pose" in row.reason


def test_a_polygon_of_five_points_is_one(tmp_path):
    yolo_set(tmp_path, "images/a.png", "labels/a.txt", "0 0.1 0.1 0.5 0.1 0.5 0.5 0.3 0.6 0.1 0.5\n")
    (row,) = yolo.read(tmp_path, yolo.Options(), tmp_path)
    assert row.boxes == (Box(2, 1, 10, 6, "dent"),)


def masked(root, mask, name="a.png", **options):
    save(root / "images" / "a.png", picture(0, (16, 16)))
    (root / "masks").mkdir()
    Image.fromarray(mask).save(root / "masks" / name, **({"quality": 60} if name.endswith("jpg") else {}))
    (row,) = masks.read(root, masks.Options(**options), root)
    return row


def square():
    mask = np.zeros((16, 16), np.uint8)
    mask[4:10, 5:12] = 255
    return mask


def test_noise_of_jpeg_is_no_defect(tmp_path):
    row = masked(tmp_path / "a", square(), "a.jpg")
    assert isinstance(row, BadRow)
    assert "JPEG, whose noise is no region" in row.reason
    assert "data.options.threshold=128" in row.reason
    row = masked(tmp_path / "b", square(), "a.jpg", threshold=128)
    assert row.boxes == (Box(5, 4, 12, 10, "defect"),)


def test_soft_edges_need_a_threshold_and_two_values_none(tmp_path):
    mask = square()
    mask[3, 5:12] = 40
    assert "holds the values 40, 255 above 0 (soft edges" in masked(tmp_path / "a", mask).reason
    assert masked(tmp_path / "b", mask, threshold=128).boxes == (Box(5, 4, 12, 10, "defect"),)
    assert masked(tmp_path / "c", square()).boxes == (Box(5, 4, 12, 10, "defect"),)


def told(root, row, **options):
    for name in ("a.png", "b.png"):
        save(root / name, picture(0, SIZE))
    (root / "conversations.json").write_text(json.dumps([row]))
    return list(conversations.read(root, conversations.Options(**options), root))


def turns(*more):
    first = [{"role": "user", "content": "<image>What?"}, {"role": "assistant", "content": "A dent."}]
    return [*first, {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes.", **dict(more)}]


@pytest.mark.parametrize("mark", [("weight", 0), ("loss", False), ("weight", 0.0)])
def test_a_last_reply_that_must_not_be_learnt(tmp_path, mark):
    (row,) = told(tmp_path, {"images": ["a.png"], "messages": turns(mark)})
    assert isinstance(row, BadRow)
    assert row.reason.startswith("excludes its last reply from the loss")


@pytest.mark.parametrize("mark", [("weight", 0), ("loss", False)])
def test_an_earlier_reply_that_must_not_be_learnt_is_context_alone(tmp_path, mark):
    messages = turns()
    messages[1] |= dict([mark])
    row = {"images": ["a.png"], "messages": messages}
    (only,) = told(tmp_path, row, turns="each")
    assert (only.target, only.messages[1]) == ("Yes.", Message("assistant", "A dent."))
    (last,) = told(tmp_path, row | {"system": "Be brief."}, turns="each")
    assert (last.target, last.messages[0].role) == ("Yes.", "system")


@pytest.mark.parametrize(("key", "value"), [("weight", 0.5), ("loss", 2), ("loss_scale", 0.1)])
def test_weights_that_no_loss_here_knows(tmp_path, key, value):
    (row,) = told(tmp_path, {"images": ["a.png"], "messages": turns((key, value))})
    assert row.reason.startswith(f"turn 4 has {key} {str(value)!r};")
    (row,) = told(tmp_path, {"images": ["a.png"], "messages": turns(), key: value})
    assert row.reason == f"has {key} {str(value)!r}; all rows count alike here. Leave it out."


@pytest.mark.parametrize("mark", [("weight", 1), ("loss", True), ("weight", 1.0), ("loss_scale", "default")])
def test_weights_that_say_what_is_done_anyway(tmp_path, mark):
    (row,) = told(tmp_path, {"images": ["a.png"], "messages": turns(mark)})
    assert row.target == "Yes."


@pytest.mark.parametrize(("signed", "stored", "padding"), [(True, -2000, 63536), (False, 63536, -2000)])
def test_padding_of_the_other_sign(signed, stored, padding):
    """The same 16 bits, written as US and meant as SS, or the other way round."""
    values = np.array([[stored, 0], [100, 200]], np.int16 if signed else np.uint16)
    image, _ = _dicom_image.show(_padded(values, padding), 0, RULE)
    assert np.asarray(image)[..., 0].tolist() == [[0, 0], [128, 255]]


RULE = Rule(("file",), (0.0, 100.0))


def _padded(values, padding):
    dataset = ct(values)
    dataset.add_new(0x00280120, "SS" if padding < 0 else "US", padding)
    return dataset


def test_a_parametric_map_that_its_window_makes_all_white():
    dataset = ct(np.array([[300, 400]], np.int16), WindowCenter=50, WindowWidth=100)
    with pytest.raises(DataError, match=r"turns out all white: its values are 300 to 400, the window is 50,100 LINEAR"):
        _dicom_image.show(dataset, 0, Rule(("file",), ()))
    image, _ = _dicom_image.show(dataset, 0, Rule(("350,102",), ()))
    low, high = np.asarray(image)[0, :, 0].tolist()
    assert low < high


def arrow(root, name, *labels):
    root.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(
        [{"image": {"bytes": encoded(picture(n)), "path": None}, "label": label} for n, label in enumerate(labels)]
    )
    with pa.OSFile(str(root / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def labels(root):
    (root.parent / "images").mkdir(exist_ok=True)
    return [row.target for row in huggingface.read(root, huggingface.Options(), root.parent / "images")]


def test_a_saved_set_is_the_files_that_its_state_lists(tmp_path):
    """An older save with more parts leaves files behind, which are not of the set."""
    root = tmp_path / "set"
    for name, label in (("b.arrow", "first"), ("a.arrow", "second"), ("left_over.arrow", "old")):
        arrow(root, name, label)
    assert labels(root) == ["second", "first", "old"]
    state = {"_data_files": [{"filename": "b.arrow"}, {"filename": "a.arrow"}], "_indices_data_files": None}
    (root / "state.json").write_text(json.dumps(state))
    assert labels(root) == ["first", "second"]
    (root / "b.arrow").unlink()
    with pytest.raises(DataError, match=r"state.json lists 'b.arrow', which is not there"):
        labels(root)


def test_a_selection_of_rows_that_is_not_applied(tmp_path):
    root = tmp_path / "set"
    arrow(root, "a.arrow", "in", "out")
    state = {"_data_files": [{"filename": "a.arrow"}], "_indices_data_files": [{"filename": "indices.arrow"}]}
    (root / "state.json").write_text(json.dumps(state))
    with pytest.raises(DataError, match=r"state.json selects rows by .*indices.arrow.*flatten_indices"):
        labels(root)
