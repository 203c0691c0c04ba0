"""A small source of every adapter, written under any file names: what the contract and the hostile names run over."""

import csv
import io
import json
import tarfile
import xml.sax.saxutils

import nibabel
import numpy as np
import pyarrow as pa
import pyarrow.parquet
from adapters.dicoms import ct
from PIL import Image

NAMES = ("a", "b", "c")


def picture(number, size=(8, 6)):
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def save(place, image, **options):
    place.parent.mkdir(parents=True, exist_ok=True)
    image.save(place, **options)


def write_csv(place, rows):
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    place.write_text(buffer.getvalue(), encoding="utf-8", newline="")


def image_folder(root, names=NAMES):
    for n, name in enumerate(names):
        save(root / ("good" if n else "cut") / f"{name}.png", picture(n))
    return root, {}


def table(root, names=NAMES):
    for n, name in enumerate(names):
        save(root / f"{name}.png", picture(n))
    rows = [[f"{name}.png", "good" if n else "cut"] for n, name in enumerate(names)]
    write_csv(root / "labels.csv", [["image", "label"], *rows])
    return root, {}


def synthetic(root, names=NAMES):
    return None, {"parts": 2, "views": 1, "side_px": 32}


def coco(root, names=NAMES):
    for n, name in enumerate(names):
        save(root / "images" / f"{name}.png", picture(n))
    tree = {
        "images": [{"id": n, "file_name": f"{name}.png", "width": 8, "height": 6} for n, name in enumerate(names)],
        "annotations": [{"id": 1, "image_id": 0, "category_id": 7, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 7, "name": "scratch"}],
    }
    (root / "annotations.json").write_text(json.dumps(tree))
    return root, {}


def yolo(root, names=NAMES):
    (root / "labels").mkdir()
    for n, name in enumerate(names):
        save(root / "images" / f"{name}.png", picture(n))
        (root / "labels" / f"{name}.txt").write_text("0 0.5 0.5 0.25 0.5\n" if n else "")
    (root / "data.yaml").write_text("names: [scratch]\n")
    return root, {}


def voc(root, names=NAMES):
    (root / "Annotations").mkdir()
    for n, name in enumerate(names):
        save(root / "JPEGImages" / f"{name}.png", picture(n))
        box = f"<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>{4 + n % 3}</xmax><ymax>6</ymax></bndbox>"
        said = xml.sax.saxutils.escape(name)
        text = f"<annotation><filename>{said}</filename><object><name>dent</name>{box}</object></annotation>"
        (root / "Annotations" / f"{name}.xml").write_text(text, encoding="utf-8")
    return root, {}


def masks(root, names=NAMES):
    for n, name in enumerate(names):
        save(root / "images" / f"{name}.png", picture(n))
        mask = np.zeros((6, 8), np.uint8)
        mask[1:3, 2 : 2 + n] = 255
        save(root / "masks" / f"{name}.png", Image.fromarray(mask))
    return root, {}


def mvtec(root, names=NAMES):
    for n, name in enumerate(names):
        save(root / "bottle" / "train" / "good" / f"{name}.png", picture(n))
        save(root / "bottle" / "test" / "crack" / f"{name}.png", picture(n + 10))
        mask = np.zeros((6, 8), np.uint8)
        mask[0:2, 0:2] = 255
        save(root / "bottle" / "ground_truth" / "crack" / f"{name}_mask.png", Image.fromarray(mask))
    return root, {}


def deeppcb(root, names=NAMES):
    rows = []
    for n, name in enumerate(names):
        save(root / "images" / f"{name}_test.png", picture(n))
        save(root / "images" / f"{name}_temp.png", picture(n + 10))
        rows.append([f"{name}_test.png", f"{name}_temp.png", "20085", f'[[1,2,{3 + n % 3},4,"open"]]'])
    write_csv(root / "labels.csv", [["filename", "template", "board", "boxes"], *rows])
    return root, {}


def conversations(root, names=NAMES):
    rows = []
    for n, name in enumerate(names):
        save(root / f"{name}.png", picture(n))
        turns = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": f"A thing {n}."}]
        rows.append({"id": str(n), "image": f"{name}.png", "conversations": turns})
    (root / "conversations.json").write_text(json.dumps(rows))
    return root, {}


def encoded(image, kind="png"):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def huggingface(root, names=NAMES):
    rows = [{"image": {"bytes": encoded(picture(n)), "path": name}, "label": "x"} for n, name in enumerate(names)]
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), root / "train-00000-of-00001.parquet")
    return root, {}


def webdataset(root, names=NAMES):
    shard(root / "train-000.tar", [(f"{name}.{ending}", content) for n, name in enumerate(names)
                                   for ending, content in (("png", encoded(picture(n))), ("cls", b"1\n"))])  # fmt: skip
    return root, {}


def shard(place, members):
    with tarfile.open(place, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def dicom(root, names=NAMES):
    key = root.parent / "site.key"
    key.write_bytes(b"k" * 32)
    rows = [["uid", "label"]]
    for n, name in enumerate(names):
        dataset = ct(np.full((4, 4), n * 100, np.int16), number=n)
        dataset.save_as(root / f"{name}.dcm", enforce_file_format=True)
        rows.append([dataset.SOPInstanceUID, "mass" if n else "none"])
    write_csv(root / "labels.csv", rows)
    return root, {"windows": ("40,400",), "site_key": str(key)}


def nifti(root, names=NAMES):
    for n, name in enumerate(names):
        values = np.random.default_rng(n).integers(-100, 100, (5, 4, 3)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), root / f"{name}.nii")
    write_csv(root / "labels.csv", [["image", "label"], *([f"{name}.nii", "x"] for name in names)])
    return root, {"window": (-100.0, 100.0)}


ALL = {
    maker.__name__: maker
    for maker in (coco, conversations, deeppcb, dicom, huggingface, image_folder, masks, mvtec, nifti, synthetic, table,
                  voc, webdataset, yolo)
}  # fmt: skip
"""Adapter -> maker(folder, stems of the files) -> (data.path, options)."""

__all__ = ["ALL", "encoded", "picture", "save", "shard", "write_csv"]
