"""The floor: always the commonest training answer, with the training frequencies as probabilities."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from finetune import pixels
from finetune.example import Example, Prediction


def predict(
    train: Sequence[Example], examples: Sequence[Example], images_root: Path, labels: Sequence[str], task: ModuleType
) -> Iterator[Prediction]:
    """Answers every example with the commonest target of `train`; of equally common ones the first label.

    `task` is the module of the task, which judges and whose parser every answer names. Images are decoded only for
    their digest, by which answers of different models are paired.

    Raises:
        DataError: an image cannot be decoded.
    """
    counts = Counter(example.target for example in train)
    frequencies = {label: counts[label] / len(train) for label in labels}
    answer = max(labels, key=lambda label: counts[label])
    for example in examples:
        began = time.perf_counter()
        digest = pixels.digest([pixels.load(images_root, ref) for ref in example.images])
        yield Prediction(
            id=example.id,
            image_sha256=digest,
            question=example.question,
            gold=example.target,
            text=answer,
            answer=answer,
            outcome=task.outcome(answer, answer, example.target),
            probabilities=dict(frequencies),
            seconds=time.perf_counter() - began,
            model="majority",
            parser=task.PARSER,
            group=example.group,
        )
