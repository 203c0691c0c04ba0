"""Hostile files of annotation tools, and of chats with their pictures in the row."""

import base64
import json

from adapters.sources import encoded, picture, save


def cvat(root):
    """Images and boxes that are none, names that leave."""
    box = '<box label="dent" xtl="1" ytl="1" xbr="{}" ybr="3"/>'
    entries = {
        "ok.png": (box.format(3), ""),
        "outside.png": (box.format(30), "lies outside the image of 8 x 6"),
        "flat.png": (box.format(1), "has no area"),
        "endless.png": (box.format("inf"), "is not made of finite"),
        "twice.png": (box.format(3) * 2, "is box 1 once more"),
        "line.png": ('<polyline label="dent" points="1,1;2,2"/>', "is a <polyline>"),
        "../up.png": ("", "climbs with '..'"),
        "https://example.org/a.png": ("", "is a URL"),
        "gone.png": ("", "does not exist"),
        "": ("", "has no name"),
    }
    for number, name in enumerate(entries):
        if name and "/" not in name and name != "gone.png":
            save(root / "images" / name, picture(number))
    inside = "".join(f'<image name="{name}">{content}</image>' for name, (content, _) in entries.items())
    (root / "annotations.xml").write_text(f"<annotations>{inside}</annotations>")
    reasons = [reason for _, reason in entries.values()]
    return {f"annotations.xml image {n}": reason for n, reason in enumerate(reasons, 1) if reason}, 1, {}


def label_studio(root):
    """Tasks that are none, several annotations, shares that leave the image, paths that leave the folder."""
    save(root / "images" / "ok.png", picture(1))

    def task(name, x=10, **more):
        value = {"x": x, "y": 10, "width": 50, "height": 50, "rectanglelabels": ["dent"]}
        result = {"type": "rectanglelabels", "original_width": 8, "original_height": 6, "value": value} | more
        return {"data": {"image": name}, "annotations": [{"result": [result]}]}

    tasks = [
        (task("ok.png"), ""),
        (task("ok.png"), "is annotated twice"),
        (task("b.png", x="1"), "x of result 1 is '1', expected a number"),
        (task("b.png", type="video"), "result 1 is 'video'"),
        (task("../up.png"), "climbs with '..'"),
        (task("/data/local-files/?d=../up.png"), "climbs with '..'"),
        (task("/etc/hostname"), "is absolute"),
        (task("https://example.org/a.png"), "is a URL"),
        (task(5), "is '5', expected the path"),
        (task("gone.png"), "does not exist"),
        ({"data": {"image": "ok.png"}}, "has no list `annotations`"),
        ([], "is not a task"),
    ]
    (root / "annotations.json").write_text(json.dumps([content for content, _ in tasks]))
    return {f"annotations.json task {n}": reason for n, (_, reason) in enumerate(tasks, 1) if reason}, 1, {}


def labelme(root):
    """Files of another image or of none, shapes that have no box."""
    shape = {"label": "dent", "points": [[1, 1], [3, 3]], "shape_type": "rectangle"}
    files = {
        "ok": ({"shapes": [shape]}, ""),
        "other": ({"imagePath": "ok.png", "shapes": [shape]}, "is about the image 'ok.png'"),
        "line": ({"shapes": [shape | {"shape_type": "line"}]}, "is a line, which has no box"),
        "one": ({"shapes": [shape | {"points": [[1, 1]]}]}, "has 1 points"),
        "outside": ({"shapes": [shape | {"points": [[1, 1], [30, 3]]}]}, "lies outside"),
        "size": ({"shapes": [], "imageWidth": 9, "imageHeight": 6}, "is for 9 x 6 pixels"),
        "list": ([], "is not a file of LabelMe"),
    }
    for number, (name, (tree, _)) in enumerate(files.items()):
        save(root / f"{name}.png", picture(number))
        (root / f"{name}.json").write_text(json.dumps(tree))
    save(root / "bare.png", picture(30))
    bad = {f"{name}.json": reason for name, (_, reason) in files.items() if reason}
    return bad | {"bare.png": "has no JSON file of its name"}, 1, {}


def messages(root):
    """Pictures that are none, URLs, paths that leave, rows that end in a question."""
    text = base64.b64encode(encoded(picture(1))).decode()

    def row(image, **more):
        return {"images": [image], "query": "q", "response": "a"} | more

    rows = [
        (row(text), ""),
        (row("data:image/png;base64,@"), "that is not base64"),
        (row("data:image/png;base64,"), "is empty (0 bytes)"),
        (row("data:image/png;base64,AAAA"), "is none of the formats"),
        (row("data:text/html,x"), "is a URL"),
        (row("file:///etc/hostname"), "is a URL"),
        (row("/etc/hostname"), "is absolute"),
        (row("../up.png"), "climbs with '..'"),
        (row(5), "expected paths of image files"),
        (row(text, response=None), "has none of conversations"),
        (row(text, loss=0.5), "has loss '0.5'"),
        (row(text, videos=["a"]), "has videos"),
        ([], "is not an object"),
    ]
    lines = [json.dumps(content) for content, _ in rows] + ["{"]
    (root / "messages.jsonl").write_text("\n".join(lines))
    reasons = [reason for _, reason in rows] + ["is not JSON"]
    return {f"messages.jsonl line {n}": reason for n, reason in enumerate(reasons, 1) if reason}, 1, {}
