"""What the contract has to know of each adapter before it can ask its clauses; docs/data.md shows it as a table."""

from dataclasses import dataclass

NEED_NO_FILES = {"synthetic"}
"""Adapters that nobody can hand a broken, an empty or a shuffled source."""


@dataclass(frozen=True)
class Facts:
    """A source of items, as tests/adapters/sources.py writes it; `{}` stands for the stem of one.

    Attributes:
        row: how an error names the third of three items called a, b, c.
        image: the file of an item's image; empty where the picture lies in the row itself.
        notes: the file that labels, boxes or pictures stand in; empty where the folders say it.
        joins: what is joined with an image, and by which key.
        lazy: what is opened one by one: images (or their labels), or rows.
    """

    row: str
    image: str
    notes: str
    joins: str
    lazy: str = "images"

    @property
    def is_row(self) -> bool:
        """Whether the format has rows of its own; else an error names the file alone."""
        return self.row != self.image.format("c")


TREE = "bottle/test/crack/{}.png", "bottle/ground_truth/crack/{}_mask.png"
ROWS = "train-00000-of-00001.parquet"
FACTS = {
    "coco": Facts(
        "annotations.json image 3", "images/{}.png", "annotations.json", "boxes by image id, the image by file name"
    ),
    "conversations": Facts(
        "conversations.json row 3", "{}.png", "conversations.json", "images by path", "rows of JSON lines"
    ),
    "cvat": Facts("annotations.xml image 3", "images/{}.png", "annotations.xml", "images by name"),
    "deeppcb": Facts("labels.csv line 4", "images/{}_test.png", "labels.csv", "board, template and boxes by path"),
    "dicom": Facts("c.dcm", "{}.dcm", "labels.csv", "labels by UID, accession, patient or path"),
    "huggingface": Facts(f"{ROWS} row 3", "", ROWS, "nothing: a row holds its picture", "rows"),
    "image_folder": Facts("good/c.png", "good/{}.png", "", "nothing: the folder is the label"),
    "label_studio": Facts("annotations.json task 3", "images/{}.png", "annotations.json", "images by name"),
    "labelme": Facts("c.json", "{}.png", "{}.json", "JSON files by path without ending"),
    "masks": Facts("images/c.png", "images/{}.png", "masks/{}.png", "masks by path without ending"),
    "messages": Facts("messages.jsonl line 3", "", "messages.jsonl", "nothing: a row holds its picture", "rows"),
    "mvtec": Facts(TREE[0].format("c"), *TREE, "masks by kind and name"),
    "nifti": Facts("labels.csv line 4", "{}.nii", "labels.csv", "volumes by path"),
    "table": Facts("labels.csv line 4", "{}.png", "labels.csv", "images by path", "rows"),
    "voc": Facts("Annotations/c.xml", "JPEGImages/{}.png", "Annotations/{}.xml", "annotations by path without ending"),
    "webdataset": Facts(
        "train-000.tar c", "", "train-000.tar", "label and picture by name up to the first dot", "rows"
    ),
    "yolo": Facts("labels/c.txt", "images/{}.png", "labels/{}.txt", "label files by path without ending"),
}


def table() -> str:
    """The facts as docs/data.md has them."""
    lines = [
        "| adapter | an error about an image names | joined with an image | opened one by one |",
        "|---|---|---|---|",
    ]
    for name, facts in FACTS.items():
        image = facts.image.format("c")
        said = f"`{facts.row}`" + (f" and `{image}`" if facts.is_row and image else "")
        said += "" if facts.is_row else ", the file: it has no rows"
        lines.append(f"| `{name}` | {said} | {facts.joins} | {facts.lazy} |")
    return "\n".join(lines) + "\n"
