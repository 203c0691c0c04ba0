"""A corpus of hostile files and rows: for each adapter a source in which every bad item has the reason it must end in.

`python tests/adapters/hostile.py FOLDER` writes it out.
"""

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import openpyxl
from adapters.hostile_annotations import cvat, label_studio, labelme, messages
from adapters.hostile_containers import BOMB, DEEP, conversations, dicom, huggingface, nifti, webdataset
from adapters.hostile_trees import deeppcb, image_folder, mvtec
from adapters.sources import picture, save
from PIL import Image


@dataclass(frozen=True)
class Case:
    """One source: what is bad in it, by row or path, and how many items are fine."""

    adapter: str
    path: Path
    bad: dict[str, str]
    good: int = 1
    options: dict = field(default_factory=dict)


def table(root):
    """Rows of a workbook: paths that leave, formulas that failed, cells too many, pictures that are none."""
    save(root / "ok.png", picture(1))
    (root / "bomb.png").write_bytes(BOMB)
    (root / "deep.png").write_bytes(DEEP)
    (root / "page.png").write_text("<!doctype html>")
    (root / "empty.png").touch()
    (root / "folder.png").mkdir()
    os.mkfifo(root / "pipe.png")
    (root / "out.png").symlink_to("/etc/hostname")
    (root / "dead.png").symlink_to("gone.png")
    rows = {
        "https://example.org/a.png": "is a URL",
        "data:image/png;base64,AA": "is a URL",
        "../a.png": "climbs with '..'",
        "/etc/passwd": "is absolute",
        "C:\\a.png": "is absolute",
        "gone.png": "does not exist",
        "empty.png": "is empty (0 bytes)",
        "folder.png": "is a directory",
        "pipe.png": "is a FIFO",
        "out.png": "is a link out of",
        "dead.png": "does not exist",
        "bomb.png": "is 9000 x 9000 pixels",
        "deep.png": "has raw values from 0 to 65535",
        "page.png": "is none of the formats",
    }
    book = openpyxl.Workbook()
    sheet = book.active
    for row in [["image", "label"], ["ok.png", "x"], *([name, "x"] for name in rows)]:
        sheet.append(row)
    extra = {len(rows) + 3: ["ok.png", "#N/A"], len(rows) + 4: ["ok.png"], len(rows) + 5: ["ok.png", "x", "more"]}
    for row in extra.values():
        sheet.append(row)
    book.save(root / "labels.xlsx")
    bad = {f"labels.xlsx row {n}": reason for n, reason in enumerate(rows.values(), 3)}
    reasons = ("a formula that failed", "no value for label", "has 3 fields, the header has 2")
    return (
        bad | {f"labels.xlsx row {n}": reason for n, reason in zip(extra, reasons, strict=True)},
        1,
        {"file": "labels.xlsx"},
    )


def coco(root):
    """Boxes that are none, images that are not there, annotations of nothing."""
    entries = {
        "ok": [[1, 1, 2, 2]],
        "outside": [[7, 1, 9, 2]],
        "flat": [[1, 1, 0, 2]],
        "text": [["a", 1, 1, 2]],
        "three": [[1, 1, 2]],
        "endless": [[1, 1, 10**400, 2]],
    }
    images, annotations = [], []
    for n, (name, boxes) in enumerate(entries.items()):
        save(root / "images" / f"{name}.png", picture(n))
        images.append({"id": n, "file_name": f"{name}.png"})
        annotations += [{"image_id": n, "category_id": 1, "bbox": box} for box in boxes]
    more = ["ok.png", "https://example.org/a.png", "../up.png", "gone.png", 5, "size.png", "crowd.png", "kind.png"]
    for n, name in enumerate(more, len(images)):
        if isinstance(name, str) and name in ("size.png", "crowd.png", "kind.png"):
            save(root / "images" / name, picture(n))
        images.append({"id": n, "file_name": name} | ({"width": 9, "height": 9} if name == "size.png" else {}))
        box = {"image_id": n, "category_id": 5 if name == "kind.png" else 1, "bbox": [1, 1, 2, 2]}
        annotations += [box | ({"iscrowd": 1} if name == "crowd.png" else {})]
    annotations.append({"image_id": 99, "category_id": 1, "bbox": [1, 1, 2, 2]})
    tree = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "dent"}]}
    (root / "annotations.json").write_text(json.dumps(tree))
    reasons = ["lies outside", "has no area", "is 'a', expected a number", "expected [x, y, width, height]"]
    reasons += ["no number that fits", "is listed twice", "is a URL", "climbs with '..'", "does not exist"]
    reasons += ["has file_name 5", "the annotation is for 9 x 9", "is a crowd", "has category_id 5"]
    bad = {f"annotations.json image {n}": reason for n, reason in enumerate(reasons, 2)}
    return bad | {f"annotations.json annotation {len(annotations)}": "its image_id 99 is no image of the file"}, 1, {}


def yolo(root):
    """Label files with pixels, letters, classes and fields that do not exist."""
    lines = {
        "ok": ("0 0.5 0.5 0.5 0.5", ""),
        "pixels": ("0 120 80 40 30", "shares of the image, not pixels"),
        "letters": ("0 a 0.5 0.5 0.5", "expected a number"),
        "nan": ("0 nan 0.5 0.5 0.5", "outside 0 to 1"),
        "class": ("7 0.5 0.5 0.5 0.5", "has class '7'; expected 0 to 0"),
        "minus": ("-1 0.5 0.5 0.5 0.5", "has class '-1'"),
        "short": ("0 0.5 0.5", "has 3 fields"),
        "six": ("0 0.5 0.5 0.5 0.5 0.9", "has 6 fields"),
        "flat": ("0 0.5 0.5 0 0.5", "has no area"),
    }
    (root / "labels").mkdir(parents=True)
    bad = {}
    for n, (name, (line, reason)) in enumerate(lines.items()):
        save(root / "images" / f"{name}.png", picture(n))
        (root / "labels" / f"{name}.txt").write_text(line)
        bad |= {f"labels/{name}.txt": reason} if reason else {}
    save(root / "images" / "bare.png", picture(30))
    save(root / "images" / "twice.png", picture(31))
    save(root / "images" / "twice.jpg", picture(31))
    (root / "labels" / "orphan.txt").write_text("")
    (root / "labels" / "raw.txt").write_bytes(b"\xff\xfe")
    save(root / "images" / "raw.png", picture(32))
    save(root / "images" / "pipe.png", picture(33))
    os.mkfifo(root / "labels" / "pipe.txt")
    (root / "data.yaml").write_text("names: {0: dent}\n")
    return (
        bad
        | {
            "images/bare.png": "has no label file",
            "images/twice.png": "shares the key",
            "images/twice.jpg": "shares the key",
            "labels/orphan.txt": "has no image of its name",
            "labels/raw.txt": "is not UTF-8",
            "labels/pipe.txt": "is a FIFO",
        },
        1,
        {},
    )


def voc(root):
    """XML that grows, breaks, or draws outside the picture."""
    box = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>1</ymin><xmax>{}</xmax><ymax>3</ymax></bndbox></object>"
    laughs = '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>'
    texts = {
        "ok": ("<annotation>" + box.format("dent", 1, 3) + "</annotation>", ""),
        "laughs": (laughs, "declares a document type or an entity"),
        "outer": ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', "declares a document type"),
        "broken": ("<annotation>", "is not XML"),
        "other": ("<html/>", "its root is <html>"),
        "nameless": ("<annotation>" + box.format("", 1, 3) + "</annotation>", "object 1 has no name"),
        "word": ("<annotation>" + box.format("dent", "one", 3) + "</annotation>", "xmin of object 1 is 'one'"),
        "infinite": ("<annotation>" + box.format("dent", 1, "inf") + "</annotation>", "is not made of finite"),
        "backwards": ("<annotation>" + box.format("dent", 5, 2) + "</annotation>", "has no area"),
        "nested": ("<annotation><list>" + box.format("dent", 1, 3) + "</list></annotation>", "has <object> in <list>"),
        "outside": ("<annotation>" + box.format("dent", 1, 30) + "</annotation>", "lies outside the image of 8 x 6"),
    }
    (root / "Annotations").mkdir(parents=True)
    for n, (name, (text, _)) in enumerate(texts.items()):
        save(root / "JPEGImages" / f"{name}.png", picture(n))
        (root / "Annotations" / f"{name}.xml").write_text(text)
    save(root / "JPEGImages" / "bare.png", picture(30))
    (root / "Annotations" / "orphan.xml").write_text("<annotation/>")
    bad = {f"Annotations/{name}.xml": reason for name, (_, reason) in texts.items() if reason}
    return (
        bad
        | {
            "JPEGImages/bare.png": "has no annotation Annotations/bare.xml",
            "Annotations/orphan.xml": "has no image of its name",
        },
        1,
        {},
    )


def masks(root):
    """Masks of another size, in colour, with values nobody named."""
    made = {
        "ok": (np.ones((6, 8), np.uint8), ""),
        "small": (np.ones((3, 4), np.uint8), "has 4 x 3 pixels, the image 8 x 6"),
        "colour": (np.ones((6, 8, 3), np.uint8), "has mode RGB; expected one channel"),
        "value": (np.full((6, 8), 9, np.uint8), "holds the value 9"),
    }
    for n, (name, (values, _)) in enumerate(made.items()):
        save(root / "images" / f"{name}.png", picture(n))
        save(root / "masks" / f"{name}.png", Image.fromarray(values))
    save(root / "images" / "bare.png", picture(30))
    save(root / "masks" / "orphan.png", Image.fromarray(made["ok"][0]))
    bad = {f"images/{name}.png": reason for name, (_, reason) in made.items() if reason}
    bad |= {"images/bare.png": "has no mask masks/bare.*", "masks/orphan.png": "has no image of its name"}
    return bad, 1, {"values": {"1": "dent"}}


MAKERS = {
    maker.__name__: maker
    for maker in (coco, conversations, cvat, deeppcb, dicom, huggingface, image_folder, label_studio, labelme, masks,
                  messages, mvtec, nifti, table, voc, webdataset, yolo)
}  # fmt: skip


def corpus(root, name):
    """Writes the source of one adapter."""
    (root / name).mkdir(parents=True)
    bad, good, options = MAKERS[name](root / name)
    return Case(name, root / name, bad, good, options)


if __name__ == "__main__":
    for adapter in MAKERS:
        case = corpus(Path(sys.argv[1]), adapter)
        print(f"{adapter}: {len(case.bad)} hostile files and rows in {case.path}")
