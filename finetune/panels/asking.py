"""Puts questions of our own to base and tuned model: greedy text, read by the parser that reads every other reply."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from tqdm import tqdm

from finetune import pixels
from finetune.decoding import greedy, prefill
from finetune.encoding import Encoder
from finetune.example import Outcome, Prediction
from finetune.models import Loaded
from finetune.panels.item import Item
from finetune.tasks import classify

SLACK_TOKENS = 16
"""Room for words around the longest choice before a reply counts as truncated."""


def ask(loaded: Loaded, items: Sequence[Item], root: Path, who: str, batch_size: int) -> Iterator[Prediction]:
    """Answers in order.

    Args:
        loaded: a PEFT model over its base; `who="base"` answers with the adapter switched off.
        items: the questions.
        root: folder of their images.
        who: base or tuned.
        batch_size: questions a forward pass.

    Raises:
        DataError: an image cannot be decoded.
    """
    model: Any = loaded.model.eval()
    encoder = Encoder(loaded.processor, loaded.family)
    with tqdm(total=len(items), desc=f"panels {who}", unit="question") as bar:
        for start in range(0, len(items), batch_size):
            batch = items[start : start + batch_size]
            with torch.no_grad(), _state(model, who):
                yield from _batch(model, encoder, batch, root, f"{who}@{loaded.sha256[:12]}")
            bar.update(len(batch))


def _state(model: Any, who: str) -> AbstractContextManager[Any]:
    return model.disable_adapter() if who == "base" and isinstance(model, PeftModel) else nullcontext()


def _batch(model: Any, encoder: Encoder, batch: Sequence[Item], root: Path, name: str) -> list[Prediction]:
    began = time.perf_counter()
    images = [[pixels.load(root, ref) for ref in item.example.images] for item in batch]
    prefix = prefill(model, encoder.prompts([item.example for item in batch], images))
    answers = [encoder.answer_ids(item.example, choice) for item in batch for choice in item.choices]
    own = model.generation_config.eos_token_id
    ends = {ids[-1] for ids in answers} | ({own} if isinstance(own, int) else set(own or ()))
    written = greedy(model, prefix, ends, max(map(len, answers)) + SLACK_TOKENS)
    seconds = (time.perf_counter() - began) / len(batch)
    replies = [
        (encoder.unescape(encoder.tokenizer.decode(ids, skip_special_tokens=True)), ended) for ids, ended in written
    ]
    return [
        _prediction(item, text, ended, pixels.digest(seen), seconds, name)
        for item, seen, (text, ended) in zip(batch, images, replies, strict=True)
    ]


def _prediction(item: Item, text: str, ended: bool, digest: str, seconds: float, name: str) -> Prediction:
    example = item.example
    answer = classify.parse(text, item.choices, item.synonyms) if ended else None
    outcome: Outcome = classify.outcome(text, answer, example.target) if ended else "truncated"
    return Prediction(
        id=example.id,
        image_sha256=digest,
        question=example.question,
        gold=example.target,
        text=text,
        answer=answer,
        outcome=outcome,
        probabilities=None,
        seconds=seconds,
        model=name,
        parser=classify.PARSER,
        group=example.group,
    )
