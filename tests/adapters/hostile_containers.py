"""The part of the hostile corpus whose items stand inside other files: conversations, archives, medical formats."""

import io
import json
import os
import struct
import tarfile
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from adapters.dicoms import ct
from adapters.sources import encoded, picture, save, shard, write_csv
from PIL import Image


def png(width, height, bit_depth, colour_type, raw):
    """A PNG file made by hand."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


BOMB = png(9000, 9000, 1, 0, bytes(9000 * 1126))
DEEP = encoded(Image.fromarray(np.array([[0, 65535]], np.uint16)))


def conversations(root):
    """Turns without end, images that are fetched, tools."""
    save(root / "ok.png", picture(1))

    def row(value="<image>\nWhat?", reply="x", image="ok.png", **more):
        return {
            "image": image,
            "conversations": [{"from": "human", "value": value}, {"from": "gpt", "value": reply}],
        } | more

    rows = [
        (row(), ""),
        (row(image="https://example.org/a.png"), "is a URL"),
        (row(image="../a.png"), "climbs"),
        (row(image=None, value="What?"), "names no image"),
        (row(image=[1]), "expected paths of image files"),
        (row(value="<image><image>"), "says <image> 2 times and names 1"),
        (row(value="See <image> here"), "<image> stands in the middle of turn 1"),
        (row(reply=""), "turn 2, of the assistant, is empty"),
        (row(value="<image>"), "turn 1, of the user, is empty"),
        (row(video="a.mp4"), "has video, which no model here is given"),
        (row(value="<image><video>"), "turn 1 holds <video>"),
        (row(tools="[]"), "has tools, which no model here is given"),
        (row(system=["x"]), "system is a list"),
        ({"image": "ok.png", "question": " ", "answer": "x"}, "question is ' ', expected text"),
        (row(reply=5), "turn 2 holds a int"),
        ({"image": "ok.png"}, "has none of conversations, messages, question"),
        ({"image": "ok.png", "messages": {}}, "messages is a dict"),
        (
            {"image": "ok.png", "messages": [{"role": "user", "content": "q"}]},
            "does not end with a turn of the assistant",
        ),
        ({"image": "ok.png", "messages": [{"role": "tool", "content": "q"}]}, "turn 1 is by 'tool'"),
        ({"image": "ok.png", "question": "q", "answer": 5}, "an answer is 5"),
        (row(objects={"bbox": [[1, 2, 3]], "ref": ["a"]}), "expected [x1, y1, x2, y2]"),
        (row(objects={"bbox": [[1, 2, 99, 4]], "ref": ["a"]}), "lies outside"),
        (row(objects={"bbox": [[1, 2, 3, 4]], "ref": []}), "has 1 boxes, but 0 in `ref`"),
        ([], "is no object"),
    ]
    lines = [json.dumps(content) for content, _ in rows] + ['{"image": "a", "image": "b"}', "{", "[" * 50_000]
    (root / "rows.jsonl").write_text("\n".join(lines))
    reasons = [reason for _, reason in rows] + ["has 'image' twice", "is not JSON", "is not JSON"]
    bad = {f"rows.jsonl line {n}": reason for n, reason in enumerate(reasons, 1) if reason}
    return bad, 1, {"file": "rows.jsonl"}


def webdataset(root):
    """Members that leave, link, repeat, or are cut off."""
    good = encoded(picture(1))
    shard(root / "a.tar", [("ok.png", good), ("ok.cls", b"1"), ("bare.png", good), ("silent.cls", b"1"),
                           ("blank.png", good), ("blank.cls", b" "), ("raw.png", good), ("raw.cls", b"\xff"),
                           ("page.png", b"<html>"), ("page.cls", b"1"), ("bomb.png", BOMB), ("bomb.cls", b"1"),
                           ("../up.png", good), ("/root.png", good), ("two.png", good), ("two.jpg", good),
                           ("two.cls", b"1"),
                           ("ok.png", good), ("ok.cls", b"1"), ("j.png", good), ("j.json", b"[]")])  # fmt: skip
    with tarfile.open(root / "b.tar", "w") as archive:
        for name, kind in (
            ("link.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("pipe.png", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO())
    return (
        {
            "a.tar bare": "has no .cls",
            "a.tar silent": "expected one picture",
            "a.tar blank": "its .cls is empty",
            "a.tar raw": "its .cls is not UTF-8",
            "a.tar page": "is none of the formats",
            "a.tar bomb": "is 9000 x 9000 pixels",
            "a.tar ../up.png": "has a path that leaves the archive",
            "a.tar /root.png": "has a path that leaves the archive",
            "a.tar two": "expected one picture",
            "a.tar ok": "occurs twice in its shard",
            "a.tar j": "its .json is no object",
            "b.tar link.png": "is a link, a pipe or a device",
            "b.tar hard.png": "is a link, a pipe or a device",
            "b.tar pipe.png": "is a link, a pipe or a device",
        },
        1,
        {},
    )


def huggingface(root):
    """Cells that hold no picture, or one that is fetched."""
    good = encoded(picture(1))
    cells = [
        ({"bytes": good, "path": None}, "x", ""),
        ({"bytes": None, "path": None}, "x", "expected the bytes of a picture"),
        ({"bytes": None, "path": "https://example.org/a.png"}, "x", "is a URL"),
        ({"bytes": None, "path": "/etc/passwd"}, "x", "is absolute"),
        ({"bytes": b"", "path": None}, "x", "is empty (0 bytes)"),
        ({"bytes": b"junk", "path": None}, "x", "is none of the formats"),
        ({"bytes": BOMB, "path": None}, "x", "is 9000 x 9000 pixels"),
        ({"bytes": DEEP, "path": None}, "x", "has raw values"),
        ({"bytes": good, "path": None}, None, "'label' is None, expected text"),
    ]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns = {
        "image": pa.array([cell for cell, _, _ in cells], kind),
        "label": pa.array([label for _, label, _ in cells]),
    }
    pyarrow.parquet.write_table(pa.table(columns), root / "data.parquet")
    return {f"data.parquet row {n}": reason for n, (_, _, reason) in enumerate(cells, 1) if reason}, 1, {}


def dicom(root):
    """What is no picture, what may show a name, what lies about itself."""
    key = root.parent / "site.key"
    key.write_bytes(b"k" * 32)
    values = np.arange(16, dtype=np.int16).reshape(4, 4)
    made = {
        "ok": ({}, ""),
        "screen": ({"Modality": "US"}, "does not say that its pixels hold no text"),
        "burned": ({"BurnedInAnnotation": "YES"}, "says that text is burned into its pixels"),
        "slide": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.6"}, "is a whole-slide image"),
        "contour": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.3"}, "is an RT structure set"),
        "mask": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, "is a segmentation"),
        "report": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"}, "is a structured report"),
        "blank": ({"Rows": None}, "has no pixels"),
        "huge": ({"Rows": 60_000, "Columns": 60_000}, "is 60000 x 60000 pixels"),
        "short": ({"Rows": 400}, "cannot be decoded"),
        "nobody": ({"PatientID": None}, "has no PatientID"),
        "alone": ({"StudyInstanceUID": None}, "has no StudyInstanceUID"),
        "frames": ({"NumberOfFrames": "9"}, "holds 9 frames"),
        "padding": ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 15}, "holds padding alone"),
        "shape": ({"PixelAspectRatio": ["1", "0"]}, "which is no shape"),
        "slope": ({"RescaleSlope": "0"}, "has RescaleSlope 0"),
        "thin": ({"WindowCenter": "0", "WindowWidth": "0"}, "has a window of width 0"),
    }
    rows = [["uid", "label"]]
    for n, (name, (fields, _)) in enumerate(made.items()):
        dataset = ct(values, number=n, **{"WindowCenter": "8", "WindowWidth": "16"} | fields)
        dataset.save_as(root / f"{name}.dcm", enforce_file_format=True)
        rows.append([dataset.SOPInstanceUID, "x"])
    content = (root / "ok.dcm").read_bytes()
    (root / "same.dcm").write_bytes(content)
    (root / "noise.dcm").write_bytes(b"\0" * 128 + b"DICM" + bytes(range(256)))
    (root / "cut.dcm").write_bytes(content[:140])
    (root / "photo.png").write_bytes(encoded(picture(1)))
    os.mkfifo(root / "pipe.dcm")
    ct(values, number=77).save_as(root / "unlabelled.dcm", enforce_file_format=True)
    write_csv(root / "labels.csv", rows)
    return (
        {f"{name}.dcm": reason for name, (_, reason) in made.items() if reason}
        | {
            "same.dcm": "has the SOP Instance UID of another file",
            "noise.dcm": "",
            "cut.dcm": "",
            "photo.png": "is no DICOM file",
            "pipe.dcm": "is a FIFO",
            "unlabelled.dcm": "has no label: its sop stands in no row of labels.csv",
        },
        1,
        {"site_key": str(key)},
    )


def nifti(root):
    """Volumes of four axes, of nothing, of text."""
    import nibabel

    def volume(name, values):
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), root / name)

    volume("ok.nii", np.zeros((3, 3, 3), np.int16))
    volume("four.nii", np.zeros((3, 3, 3, 2), np.int16))
    volume("nan.nii", np.full((3, 3, 3), np.nan, np.float32))
    (root / "text.nii").write_text("no")
    (root / "text.nii.gz").write_text("no")
    (root / "cut.nii").write_bytes((root / "ok.nii").read_bytes()[:-20])
    huge = bytearray((root / "ok.nii").read_bytes())
    huge[40:56] = struct.pack("<8h", 3, 32000, 32000, 32000, 1, 1, 1, 1)
    (root / "huge.nii").write_bytes(huge)
    save(root / "a.png", picture(1))
    rows = {
        "ok.nii": "",
        "four.nii": "say which one with data.options.volume",
        "nan.nii": "not finite",
        "text.nii": "cannot be read as NIfTI",
        "text.nii.gz": "cannot be read as NIfTI",
        "cut.nii": "cannot be read as NIfTI",
        "huge.nii": "are opened",
        "a.png": "is no NIfTI file",
        "../up.nii": "climbs",
        "gone.nii": "does not exist",
    }
    write_csv(root / "labels.csv", [["image", "label"], *([name, "x"] for name in rows)])
    return (
        {f"labels.csv line {n}": reason for n, reason in enumerate(rows.values(), 2) if reason},
        1,
        {"window": (0.0, 9.0)},
    )
