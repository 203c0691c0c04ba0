"""A small source of every adapter, written under any file names: what the contract and the hostile names run over."""

import base64
import csv
import io
import json
import tarfile
import urllib.parse
import xml.sax.saxutils

import nibabel
import numpy as np
import pyarrow as pa
import pyarrow.parquet
from adapters.dicoms import ct
from PIL import Image

NAMES = ("a", "b", "c")
KINDS = ("cut", "good", "dent")
"""Labels of the first, second and third item, and so on in turn: who takes another's is seen."""


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
    rows = [[f"{name}.png", KINDS[n % 3]] for n, name in enumerate(names)]
    write_csv(root / "labels.csv", [["image", "label"], *rows])
    return root, {}


def synthetic(root, names=NAMES):
    return None, {"parts": 2, "views": 1, "side_px": 32}


def coco(root, names=NAMES):
    for n, name in enumerate(names):
        save(root / "images" / f"{name}.png", picture(n))
    tree = {
        "images": [{"id": n, "file_name": f"{name}.png", "width": 8, "height": 6} for n, name in enumerate(names)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 7, "bbox": [1, 2, 1 + n % 3, 4]}
            for n in sorted(range(len(names)), key=names.__getitem__)  # in another order than their images
        ],
        "categories": [{"id": 7, "name": "scratch"}],
    }
    (root / "annotations.json").write_text(json.dumps(tree))
    return root, {}


def yolo(root, names=NAMES):
    (root / "labels").mkdir()
    for n, name in enumerate(names):
        save(root / "images" / f"{name}.png", picture(n))
        (root / "labels" / f"{name}.txt").write_text(f"0 0.5 0.5 {n % 3 / 4} 0.5\n" if n % 3 else "")
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
        mask[1:3, 2 : 2 + n % 5] = 255
        save(root / "masks" / f"{name}.png", Image.fromarray(mask))
    return root, {}


def mvtec(root, names=NAMES):
    for n, name in enumerate(names):
        save(root / "bottle" / "train" / "good" / f"{name}.png", picture(n))
        save(root / "bottle" / "test" / "crack" / f"{name}.png", picture(n + 1000))
        mask = np.zeros((6, 8), np.uint8)
        mask[0:2, 0 : 2 + n % 3] = 255
        save(root / "bottle" / "ground_truth" / "crack" / f"{name}_mask.png", Image.fromarray(mask))
    return root, {}


def deeppcb(root, names=NAMES):
    rows = []
    for n, name in enumerate(names):
        save(root / "images" / f"{name}_test.png", picture(n))
        save(root / "images" / f"{name}_temp.png", picture(n + 1000))
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
    pictures = [{"bytes": encoded(picture(n)), "path": name} for n, name in enumerate(names)]
    rows = [{"image": image, "label": KINDS[n % 3]} for n, image in enumerate(pictures)]
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), root / "train-00000-of-00001.parquet", row_group_size=8)
    return root, {}


def cvat(root, names=NAMES):
    """A box of 1, 2 to 4, 5 in every image of 8 x 6."""
    entries = []
    for n, name in enumerate(names):
        save(root / "images" / f"{name}.png", picture(n))
        shown = xml.sax.saxutils.quoteattr(f"{name}.png")
        box = f'<box label="{KINDS[n % 3]}" xtl="1" ytl="2" xbr="4" ybr="5" rotation="0.0"/>'
        entries.append(f'<image id="{n}" name={shown} width="8" height="6">{box}</image>')
    (root / "annotations.xml").write_text(f"<annotations>{''.join(entries)}</annotations>", encoding="utf-8")
    (root / "images").mkdir(exist_ok=True)
    return root, {}


def label_studio(root, names=NAMES):
    """The same box in percent, each image as it was uploaded."""
    tasks = []
    for n, name in enumerate(names):
        save(root / "images" / f"{name}.png", picture(n))
        value = {"x": 12.5, "y": 100 / 3, "width": 37.5, "height": 50, "rotation": 0, "rectanglelabels": [KINDS[n % 3]]}
        result = {"type": "rectanglelabels", "original_width": 8, "original_height": 6, "value": value}
        url = f"/data/upload/1/{urllib.parse.quote(name)}.png"
        tasks.append({"id": n, "data": {"image": url}, "annotations": [{"result": [result]}]})
    (root / "annotations.json").write_text(json.dumps(tasks), encoding="utf-8")
    return root, {}


def labelme(root, names=NAMES):
    """The same box as two corners, the lower one first."""
    for n, name in enumerate(names):
        save(root / f"{name}.png", picture(n))
        shape = {"label": KINDS[n % 3], "points": [[4, 5], [1, 2]], "shape_type": "rectangle"}
        tree = {"imagePath": f"{name}.png", "imageWidth": 8, "imageHeight": 6, "shapes": [shape]}
        (root / f"{name}.json").write_text(json.dumps(tree), encoding="utf-8")
    return root, {}


def messages(root, names=NAMES):
    """OpenAI's rows, each with its picture as a data URL."""
    lines = []
    for n, _ in enumerate(names):
        url = "data:image/png;base64," + base64.b64encode(encoded(picture(n))).decode()
        asked = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is it?"}]
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": KINDS[n % 3]}]
        lines.append(json.dumps({"messages": turns}))
    (root / "messages.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return root, {}


def webdataset(root, names=NAMES):
    members = []
    for n, name in enumerate(names):
        members += [(f"{name}.png", encoded(picture(n))), (f"{name}.cls", KINDS[n % 3].encode())]
    shard(root / "train-000.tar", members)
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
        rows.append([dataset.SOPInstanceUID, KINDS[n % 3]])
    write_csv(root / "labels.csv", rows)
    return root, {"windows": ("3000,6000",), "site_key": str(key)}


def nifti(root, names=NAMES):
    for n, name in enumerate(names):
        values = np.random.default_rng(n).integers(-100, 100, (5, 4, 3)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), root / f"{name}.nii")
    rows = [[f"{name}.nii", KINDS[n % 3]] for n, name in enumerate(names)]
    write_csv(root / "labels.csv", [["image", "label"], *rows])
    return root, {"window": (-100.0, 100.0)}


ALL = {
    maker.__name__: maker
    for maker in (coco, conversations, cvat, deeppcb, dicom, huggingface, image_folder, label_studio, labelme, masks,
                  messages, mvtec, nifti, synthetic, table, voc, webdataset, yolo)
}  # fmt: skip
"""Adapter -> maker(folder, stems of the files) -> (data.path, options)."""

__all__ = ["ALL", "encoded", "picture", "save", "shard", "write_csv"]
