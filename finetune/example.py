"""The currency of the house: adapters produce `Example`, predictors produce `Prediction`, nothing else is passed on."""

from dataclasses import dataclass, field
from typing import Literal

Role = Literal["system", "user", "assistant"]
Outcome = Literal["correct", "wrong", "unparsed", "refused", "filtered", "api_error", "truncated"]
Mode = Literal["score", "score_mean", "score_prior", "generate"]
"""How an answer is got: the label of the largest log-probability (summed; per token; less what it has without an
image), or text that the model writes. Questions with open answers are answered by text in every mode.
"""


@dataclass(frozen=True)
class ImageRef:
    """Where an image is and how to read it; pixels are decoded by `finetune.images.decode` alone.

    Attributes:
        path: POSIX path relative to the image root (`data.path`, or `RUN/data` where the adapter wrote the files).
        member: name inside an archive, or None.
        frame: index of the frame or slice, or None for files with one.
        window: (low, high) raw values mapped to 0..255, needed for 16-bit and float images.
        tile: (left, top, right, bottom) pixels of the upright image, or None for all of it.
    """

    path: str
    member: str | None = None
    frame: int | None = None
    window: tuple[float, float] | None = None
    tile: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Whole:
    """The example that a tile was cut from.

    Attributes:
        id: of that example.
        target: its answer; of boxes the canonical text in thousandths of the whole image.
        size: (height, width) of its upright images.
    """

    id: str
    target: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Box:
    """A labelled box, xyxy pixels of the image after EXIF rotation."""

    x1: float
    y1: float
    x2: float
    y2: float
    label: str
    image: int = 0


@dataclass(frozen=True)
class Message:
    """One turn of the prompt. Images belong to the first user turn, before its text."""

    role: Role
    text: str


@dataclass(frozen=True)
class Example:
    """One question about one or several images, and its answer.

    Attributes:
        id: unique in the run; the id column, else relative path + running number.
        images: in the order in which the model sees them.
        messages: the prompt; empty when it leaves the adapter, filled by the task in `prepare`.
        target: the answer that is trained and scored, exactly as written.
        group: what must not span splits (patient, part, module); the id when there is none.
        split: "train", "val" or "test" when the source gives one (`data.split.column`), else None.
        rejected: a worse answer, for preference training.
        boxes: annotated boxes, for detection.
        meta: columns carried along for subgroups.
        row: where it stands in the source ("labels.csv line 41"), for errors.
        whole: what it was cut from, where `data.tiles` cuts images.
        size: (height, width) of its first image or tile, upright, where the answer is boxes.
    """

    id: str
    images: tuple[ImageRef, ...]
    target: str
    group: str
    messages: tuple[Message, ...] = ()
    split: str | None = None
    rejected: str | None = None
    boxes: tuple[Box, ...] | None = None
    meta: dict[str, str] = field(default_factory=dict)
    row: str = ""
    whole: Whole | None = None
    size: tuple[int, int] | None = None

    @property
    def question(self) -> str:
        """Text of the first user turn, as `prepare` filled it in."""
        return next(message.text for message in self.messages if message.role == "user")


@dataclass(frozen=True)
class BadRow:
    """A row that an adapter cannot turn into an example; `data.on_bad_row` decides what happens."""

    row: str
    path: str
    reason: str


@dataclass(frozen=True)
class Prediction:
    """What one model said about one example: a line of `eval/WHO.predictions.jsonl`.

    Attributes:
        image_sha256: digest over the ordered digests of the decoded pixels (`finetune.images.decode.digest`).
        text: the raw reply, untouched; for scored answers the winning label.
        answer: what the parser made of it, or None.
        probabilities: label -> probability, summing to 1, where the answering mode gives them.
        even_probabilities: those by which the answer was chosen, where they are others: of a training that evened
            labels out, before the shares that labels have in the data were put back.
        seconds: share of the wall-clock time of its batch.
        parser: name and version of the parser, so that a re-score can be told from a re-run.
        usage: what the reply of a provider took: `input_tokens`, `output_tokens`, and `cost` where it is known.
    """

    id: str
    image_sha256: str
    question: str
    gold: str
    text: str
    answer: str | None
    outcome: Outcome
    probabilities: dict[str, float] | None
    seconds: float
    model: str
    parser: str
    group: str
    usage: dict[str, float] | None = None
    even_probabilities: dict[str, float] | None = None

    @property
    def deciding(self) -> dict[str, float] | None:
        """The probabilities that explain the answer."""
        return self.probabilities if self.even_probabilities is None else self.even_probabilities


@dataclass(frozen=True)
class Score:
    """An estimate with its two-sided 95 % interval."""

    value: float
    low: float
    high: float
