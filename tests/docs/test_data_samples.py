"""Every sample of docs/data.md is a source that its adapter reads."""

import re
from pathlib import Path

import pytest
from adapters.sources import picture, save

import finetune
from finetune import plugins
from finetune.example import Box, Example, Message
from finetune.images import decode

PAGE = (Path(finetune.__file__).resolve().parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
SAMPLES = re.findall(r"^```\w+ (\w+) (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
BOXES = {"coco", "cvat", "label_studio", "labelme", "yolo"}
IN_IMAGES = {"coco", "cvat", "label_studio"}


def test_each_form_has_a_sample():
    assert [adapter for adapter, _, _ in SAMPLES] == [
        *["conversations"] * 2, *["messages"] * 4, "table", "coco", "yolo", "cvat", "label_studio", "labelme",
    ]  # fmt: skip


@pytest.mark.parametrize(("adapter", "file", "content"), SAMPLES)
def test_it_is_read(tmp_path, adapter, file, content):
    root, images = tmp_path / "source", tmp_path / "run" / "images"
    images.mkdir(parents=True)
    folder = "images" if adapter in IN_IMAGES else "obj_train_data" if adapter == "yolo" else ""
    save(root / folder / "a.png", picture(0))
    (root / file).write_text(content, encoding="utf-8")
    if adapter == "yolo":
        (root / folder / "a.txt").write_text("0 0.3125 0.5833333 0.375 0.5\n")
    module = plugins.load("adapter", adapter)
    options = module.Options(**({"file": file} if file.endswith(".tsv") else {}))
    (row,) = module.read(root, options, images)
    assert isinstance(row, Example), row
    shown = decode.load(images.parent if module.WRITES_IMAGES else root, row.images[0])
    assert shown.size == ((4, 3) if "iVBOR" in content else (8, 6))
    if adapter in BOXES:
        ((box),) = row.boxes
        top, bottom = (3, 4.5) if adapter == "label_studio" else (2, 5)
        assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx((1, top, 4, bottom), abs=1e-4)
        assert box == Box(box.x1, box.y1, box.x2, box.y2, "dent")
    else:
        assert row.target == "dent"
    if adapter in ("conversations", "messages"):
        question = "What is it?\nA. dent\nB. hole" if file == "set.tsv" else "What is it?"
        assert row.messages == (Message("user", question),)
