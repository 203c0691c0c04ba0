"""The part of the hostile corpus laid out by folders and pairs: classes, MVTec's trees, boards and templates."""

import os

import numpy as np
from adapters.hostile_containers import BOMB, DEEP, png
from adapters.sources import encoded, picture, save, write_csv
from PIL import Image

PAGE = b"<!doctype html>"


def image_folder(root):
    """Files that are no pictures or lead out, names that are no text, pictures that do not say what they show."""
    save(root / "good" / "ok.png", picture(1))
    made = {
        "stray.png": (encoded(picture(2)), "lies in no class folder"),
        "good/film.mp4": (b"\0", "is no image this program reads"),
        "good/drawing.svg": (b"<svg/>", "is no image this program reads"),
        "good/empty.png": (b"", "is empty (0 bytes)"),
        "good/page.png": (PAGE, "is none of the formats"),
        "good/bomb.png": (BOMB, "is 9000 x 9000 pixels"),
        "good/deep.png": (DEEP, "has raw values from 0 to 65535"),
        "good/colour.png": (png(1, 1, 16, 2, bytes(7)), "has 16 bits a channel in colour"),
        "good/cut.png": (encoded(picture(3))[:45], "cannot be decoded"),
        "good/nan.tif": (encoded(Image.fromarray(np.full((2, 2), np.nan, np.float32)), "tiff"), "not finite"),
    }
    for name, (content, _) in made.items():
        (root / name).write_bytes(content)
    save(root / "good" / "moves.gif", picture(4), save_all=True, append_images=[picture(5)])
    os.mkfifo(root / "good" / "pipe.png")
    for name, target in (("out.png", "/etc/hostname"), ("dead.png", "gone.png"), ("round.png", "round.png")):
        (root / "good" / name).symlink_to(target)
    (root / "linked").symlink_to(root / "good")
    (root / "good" / os.fsdecode(b"\xff.png")).write_bytes(encoded(picture(6)))
    reasons = {
        "good/moves.gif": "holds several frames",
        "good/pipe.png": "is a FIFO",
        "good/out.png": "is a link out of",
        "good/dead.png": "does not exist",
        "good/round.png": "cannot be read",
        "linked": "is a link to a folder",
        ascii("good/\udcff.png"): "has a name that is not UTF-8",
    }
    return {name: reason for name, (_, reason) in made.items()} | reasons, 1, {}


def mvtec(root):
    """Masks that are missing, double, of another size, of nothing; pictures in no folder; folders of other trees."""
    patch = np.ones((6, 8), np.uint8)
    masks = {
        "ok": (encoded(Image.fromarray(patch)), ""),
        "bare": (None, "is defective and has no mask"),
        "small": (encoded(Image.fromarray(patch[:3, :4])), "has 4 x 3 pixels, the image 8 x 6"),
        "colour": (encoded(Image.fromarray(np.dstack([patch] * 3))), "has mode RGB; expected one channel"),
        "blank": (encoded(Image.new("L", (8, 6))), "no region of its mask has 1 pixels"),
        "page": (PAGE, "is none of the formats"),
        "void": (b"", "is empty (0 bytes)"),
        "double": (encoded(Image.fromarray(patch)), "has the masks"),
    }
    tree, drawn = root / "bottle", root / "bottle" / "ground_truth" / "cut"
    drawn.mkdir(parents=True)
    for n, (name, (content, _)) in enumerate(masks.items()):
        save(tree / "test" / "cut" / f"{name}.png", picture(n))
        if content is not None:
            (drawn / f"{name}_mask.png").write_bytes(content)
    for name in ("cut/double_mask.bmp", "cut/orphan_mask.png", "good/masked_mask.png"):
        save(tree / "ground_truth" / name, Image.fromarray(patch))
    for n, name in enumerate(("test/good/masked.png", "test/loose.png", "train/good/same.png", "train/good/same.bmp",
                              "train/good/ok.png", "validation/good/0.png", "0.png")):  # fmt: skip
        save(tree / name, picture(n + 20))
    (tree / "train" / "good" / "bomb.png").write_bytes(BOMB)
    os.mkfifo(tree / "train" / "good" / "pipe.png")
    bad = {f"bottle/test/cut/{name}.png": reason for name, (_, reason) in masks.items() if reason}
    return (
        bad
        | {
            "bottle/ground_truth/cut/orphan_mask.png": "has no image of its name",
            "bottle/test/good/masked.png": "is good and has a mask",
            "bottle/test/loose.png": "lies in no folder of a kind",
            "bottle/train/good/same.png": "shares the key",
            "bottle/train/good/same.bmp": "shares the key",
            "bottle/train/good/bomb.png": "is 9000 x 9000 pixels",
            "bottle/train/good/pipe.png": "is a FIFO",
            "bottle/validation": "stands beside train, test, ground_truth",
            "bottle/0.png": "stands beside train, test, ground_truth",
        },
        2,
        {},
    )


def deeppcb(root):
    """Boxes of no kind, templates of another board, rows with holes."""
    for n, name in enumerate(("ok_test", "ok_temp")):
        save(root / "images" / f"{name}.png", picture(n))
    save(root / "images" / "wide.png", picture(3, (9, 6)))
    (root / "images" / "bomb.png").write_bytes(BOMB)
    (root / "images" / "cut.png").write_bytes(encoded(picture(4))[:45])
    box = '[[1,2,3,4,"open"]]'
    rows = [
        (["ok_test.png", "ok_temp.png", "b", box], ""),
        (["ok_test.png", "wide.png", "b", box], "its template 'images/wide.png' has another size"),
        (["ok_test.png", "gone.png", "b", box], "image 'images/gone.png' does not exist"),
        (["gone.png", "ok_temp.png", "b", box], "image 'images/gone.png' does not exist"),
        (["https://example.org/a.png", "ok_temp.png", "b", box], "is a URL"),
        (["ok_test.png", "/etc/hostname", "b", box], "is absolute"),
        (["../a.png", "ok_temp.png", "b", box], "climbs with '..'"),
        (["bomb.png", "ok_temp.png", "b", box], "is 9000 x 9000 pixels"),
        (["cut.png", "ok_temp.png", "b", box], "image 'images/cut.png' cannot be decoded"),
        (["ok_test.png", "cut.png", "b", box], "image 'images/cut.png' cannot be decoded"),
        (["ok_test.png", "ok_temp.png", "", box], "no value for board"),
        (["ok_test.png", "ok_temp.png", "b", "open"], "boxes: is not JSON"),
        (["ok_test.png", "ok_temp.png", "b", "[[1,2,3,4]]"], "boxes: expected [[x1, y1, x2, y2, kind], ...]"),
        (["ok_test.png", "ok_temp.png", "b", '[[1,2,3,4,"dent"]]'], "boxes: the kind 'dent' is none of"),
        (["ok_test.png", "ok_temp.png", "b", '[[1,2,3,"4","open"]]'], "boxes: a corner is '4', expected a number"),
        (["ok_test.png", "ok_temp.png", "b", '[[1,2,NaN,4,"open"]]'], "NaN is no number of JSON"),
        (["ok_test.png", "ok_temp.png", "b", '[[3,2,1,4,"open"]]'], "has no area"),
        (["ok_test.png", "ok_temp.png", "b", '[[1,2,30,4,"open"]]'], "lies outside the image of 8 x 6"),
        (["ok_test.png", "ok_temp.png", "b"], "has another number of fields"),
    ]
    write_csv(root / "labels.csv", [["filename", "template", "board", "boxes"], *(cells for cells, _ in rows)])
    return {f"labels.csv line {n}": reason for n, (_, reason) in enumerate(rows, 2) if reason}, 1, {}
