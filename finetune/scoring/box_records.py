"""The records of ways to write boxes, by name; `box_notations` writes and reads by them."""

from collections.abc import Mapping
from dataclasses import dataclass

NONE = "none"
"""What a notation without an empty list says where nothing is to be found."""


@dataclass(frozen=True)
class Notation:
    """One way to write boxes.

    Attributes:
        name: what `task.options.boxes` calls it.
        order: of the coordinates, `xyxy` or `yxyx`.
        scale: steps from one side to the other (1000 = thousandths); `pixels` of the image as the
            model sees it; `square` = shares of the image padded to a square.
        container: `json:KEY`, or the name of a pattern of `box_notations`.
        sentence: what the question says about the form.
        marks: special tokens of the form, which must survive generation and decoding.
        prompt: the whole question where the weights know only that one; `{labels}` is filled in
            with " ; " between labels.
        source: where this is documented.
    """

    name: str
    order: str
    scale: int | str
    container: str
    sentence: str
    marks: tuple[str, ...] = ()
    prompt: str = ""
    source: str = ""


def _json(key: str, corners: str, space: str) -> str:
    return (
        f"Answer with a JSON list of objects with label and {key}, {key} as {corners} in {space}, [] if there is none."
    )


_THOUSANDTHS = "thousandths of the image's width and height"
_XYXY, _YXYX = "[x1, y1, x2, y2]", "[y1, x1, y2, x2]"
_TAGS = f"in {_THOUSANDTHS}, or {NONE!r} if there is none."

NOTATIONS: Mapping[str, Notation] = {
    n.name: n
    for n in (
        Notation("json", "xyxy", 1000, "json:box", _json("box", f"{_XYXY}", _THOUSANDTHS), source="of this package"),
        Notation(
            "compact",
            "xyxy",
            99,
            "compact",
            "Answer with label x1 y1 x2 y2 for each, joined by '; ', from 00 to 99 across the image and down it, or "
            f"{NONE!r} if there is none.",
            source="of this package",
        ),
        Notation(
            "qwen2_vl",
            "xyxy",
            1000,
            "qwen2_vl",
            "Answer with <|object_ref_start|>label<|object_ref_end|><|box_start|>(x1,y1),(x2,y2)<|box_end|> for each, "
            + _TAGS,
            ("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"),
            source="QwenLM/Qwen3-VL issues 105 and 866",
        ),
        Notation(
            "qwen2_5_vl",
            "xyxy",
            "pixels",
            "json:bbox_2d",
            _json("bbox_2d", _XYXY, "pixels of the image"),
            source="QwenLM/Qwen3-VL issues 676, 721 and 1161",
        ),
        Notation(
            "qwen3_vl",
            "xyxy",
            1000,
            "json:bbox_2d",
            _json("bbox_2d", _XYXY, _THOUSANDTHS),
            source="QwenLM/Qwen3-VL evaluation/ODinW-13 and issue 1659",
        ),
        Notation(
            "internvl",
            "xyxy",
            1000,
            "internvl",
            "Answer with <ref>label</ref><box>[[x1, y1, x2, y2], ...]</box> for each label, " + _TAGS,
            ("<ref>", "</ref>", "<box>", "</box>"),
            source="OpenGVLab/InternVL issues 227, 285 and 1063",
        ),
        Notation(
            "glm4v",
            "xyxy",
            1000,
            "glm4v",
            "Answer with label <|begin_of_box|>[[x1,y1,x2,y2], ...]<|end_of_box|> for each label, " + _TAGS,
            ("<|begin_of_box|>", "<|end_of_box|>"),
            source="zai-org/GLM-V README, issues 114 and 118",
        ),
        Notation(
            "minicpmv",
            "xyxy",
            1000,
            "minicpmv",
            "Answer with <ref>label</ref><box>x1 y1 x2 y2</box> for each, " + _TAGS,
            ("<ref>", "</ref>", "<box>", "</box>"),
            source="OpenBMB/MiniCPM-V issue 982",
        ),
        Notation(
            "box_2d",
            "yxyx",
            1000,
            "json:box_2d",
            _json("box_2d", _YXYX, _THOUSANDTHS),
            source="Vertex AI, bounding box detection; the hub's blog on Gemma 4",
        ),
        Notation(
            "paligemma",
            "yxyx",
            1023,
            "paligemma",
            f"Answer with <locY1><locX1><locY2><locX2> label for each, joined by ' ; ', or {NONE!r} if there is none.",
            tuple(f"<loc{value:04d}>" for value in range(1024)),
            "detect {labels}",
            "google-research/big_vision, configs/proj/paligemma",
        ),
        Notation(
            "llava",
            "xyxy",
            "square",
            "llava",
            "Answer with label [x1, y1, x2, y2] for each, joined by '; ', in shares of the image padded to a square, "
            f"or {NONE!r} if there is none.",
            source="haotian-liu/LLaVA issues 333, 606 and 1158",
        ),
        Notation(
            "pixels",
            "xyxy",
            "pixels",
            "json:bbox",
            _json("bbox", _XYXY, "pixels of the image"),
            source="Anthropic, vision: coordinates are pixels of the image as it was resized; OpenAI: of the upload",
        ),
    )
}
