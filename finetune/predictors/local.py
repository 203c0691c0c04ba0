"""Answers of a model on this machine: labels scored with a shared prefix, or text generated.

The base is the tuned model with its adapter switched off, so that both share one copy of the weights.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from PIL.Image import Image
from torch import Tensor
from tqdm import tqdm

from finetune import named, pixels
from finetune.config import TaskConfig
from finetune.decoding import Prefix, continuation_scores, greedy, prefill
from finetune.encoding import Encoder
from finetune.example import Example, Mode, Outcome, Prediction
from finetune.models import Loaded

SLACK_TOKENS = 16
"""Room for words around the longest label before a generated answer counts as truncated."""


def score_labels(
    model: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    images: Sequence[Sequence[Image]],
    labels: Sequence[str],
    synonyms: Mapping[str, Sequence[str]] | None = None,
) -> Tensor:
    """Scores every label of a closed set after each prompt, with one prefill for all of them.

    Args:
        model: in the state to be judged (adapter on or off, `eval()`); a plain model or a PEFT one.
        encoder: renders and tokenises prompts and answers.
        examples: with messages.
        images: decoded, one sequence an example.
        labels: the closed answers.
        synonyms: label -> other spellings, whose probability is added to the label's.

    Returns:
        `[examples, labels]` natural log-probabilities: the sum over the label's tokens *with its end token* (without it
        `open` beats `open circuit`), no length normalisation; float32 on the CPU.
    """
    with torch.no_grad():
        return _label_scores(
            model, encoder, prefill(model, encoder.prompts(examples, images)), examples, labels, synonyms
        )


def _label_scores(
    model: Any,
    encoder: Encoder,
    prefix: Prefix,
    examples: Sequence[Example],
    labels: Sequence[str],
    synonyms: Mapping[str, Sequence[str]] | None,
) -> Tensor:
    spellings = [(label, *(synonyms or {}).get(label, ())) for label in labels]
    answers = _answer_ids(encoder, examples, [text for group in spellings for text in group])
    parts = continuation_scores(model, prefix, answers).split([len(group) for group in spellings], dim=1)
    return torch.cat([part.logsumexp(dim=1, keepdim=True) for part in parts], dim=1)


def _answer_ids(encoder: Encoder, examples: Sequence[Example], texts: Sequence[str]) -> list[list[list[int]]]:
    return [[encoder.answer_ids(example, text) for text in texts] for example in examples]


class LocalPredictor:
    """Answers of the base and of the tuned model, from one copy of the weights.

    Args:
        loaded: the model; where it is a PEFT model, `who="base"` answers with the adapter switched off.
        labels: the closed answers.
        task: kind, question and synonyms; `task.kind` names the module that parses and judges replies.
        batch_size: examples a forward pass.
        name: what the answers say they are from; the digest of the weights is added.
        adapter: sha256 of the adapter's weights, or "" where it is no file; the tuned answers name it.
    """

    def __init__(
        self,
        loaded: Loaded,
        labels: Sequence[str],
        task: TaskConfig,
        batch_size: int,
        name: str = "local",
        adapter: str = "",
    ) -> None:
        """Puts the model into evaluation mode.

        Raises:
            ConfigError: there is no task of that kind.
        """
        self.model: Any = loaded.model.eval()
        self.encoder = Encoder(loaded.processor, loaded.family)
        self.name = f"{name}@{loaded.sha256[:12]}"
        self.tuned_name = f"{self.name}+adapter{'@' * bool(adapter)}{adapter[:12]}"
        self.labels = tuple(labels)
        self.task = task
        self.judge = named.load("task", task.kind)
        self.batch_size = batch_size

    def predict(self, examples: Sequence[Example], images_root: Path, mode: Mode, who: str) -> Iterator[Prediction]:
        """Answers examples in order, in one answering mode; progress goes to standard error."""
        for (prediction,) in self.predict_modes(examples, images_root, (mode,), who):
            yield prediction

    def predict_modes(
        self, examples: Sequence[Example], images_root: Path, modes: Sequence[Mode], who: str
    ) -> Iterator[tuple[Prediction, ...]]:
        """Answers examples in order, in several modes at once: the prompt and its image are run through once.

        Yields:
            One prediction a mode for each example.

        Raises:
            DataError: an image cannot be decoded.
        """
        with tqdm(total=len(examples), desc=f"evaluate {who}", unit="image") as bar:
            for start in range(0, len(examples), self.batch_size):
                batch = examples[start : start + self.batch_size]
                with torch.no_grad(), self._state(who):
                    columns = self._batch(batch, images_root, modes, who)
                yield from zip(*columns, strict=True)
                bar.update(len(batch))

    def _state(self, who: str) -> AbstractContextManager[Any]:
        if who == "base" and isinstance(self.model, PeftModel):
            return self.model.disable_adapter()
        return nullcontext()

    def _batch(self, batch: Sequence[Example], root: Path, modes: Sequence[Mode], who: str) -> list[list[Prediction]]:
        began = time.perf_counter()
        images = [[pixels.load(root, ref) for ref in example.images] for example in batch]
        digests = [pixels.digest(each) for each in images]
        prefix = prefill(self.model, self.encoder.prompts(batch, images))
        shared_s = time.perf_counter() - began
        columns = []
        for mode in modes:
            began = time.perf_counter()
            replies = self._scored(batch, prefix) if mode == "score" else self._generated(batch, prefix)
            seconds = (shared_s + time.perf_counter() - began) / len(batch)
            columns.append(
                [
                    Prediction(
                        id=example.id,
                        image_sha256=digest,
                        question=example.question,
                        gold=example.target,
                        text=text,
                        answer=answer,
                        outcome=outcome,
                        probabilities=probabilities,
                        seconds=seconds,
                        model=self.name if who == "base" else self.tuned_name,
                        parser=self.judge.PARSER,
                        group=example.group,
                    )
                    for example, digest, (text, answer, outcome, probabilities) in zip(
                        batch, digests, replies, strict=True
                    )
                ]
            )
        return columns

    def _scored(self, batch: Sequence[Example], prefix: Prefix) -> list["_Reply"]:
        scores = _label_scores(self.model, self.encoder, prefix, batch, self.labels, self.task.synonyms)
        replies: list[_Reply] = []
        for example, row in zip(batch, scores.softmax(-1).tolist(), strict=True):
            answer = self.labels[max(range(len(row)), key=row.__getitem__)]
            outcome: Outcome = self.judge.outcome(answer, answer, example.target)
            replies.append((answer, answer, outcome, dict(zip(self.labels, row, strict=True))))
        return replies

    def _generated(self, batch: Sequence[Example], prefix: Prefix) -> list["_Reply"]:
        spellings = [text for label in self.labels for text in (label, *self.task.synonyms.get(label, ()))]
        tokens = [ids for row in _answer_ids(self.encoder, batch, spellings) for ids in row]
        ends = {ids[-1] for ids in tokens} | self._model_ends()
        replies: list[_Reply] = []
        written = greedy(self.model, prefix, ends, max(map(len, tokens)) + SLACK_TOKENS)
        for example, (ids, ended) in zip(batch, written, strict=True):
            text = self.encoder.unescape(self.encoder.tokenizer.decode(ids, skip_special_tokens=True))
            answer = self.judge.parse(text, self.labels, self.task.synonyms) if ended else None
            outcome: Outcome = self.judge.outcome(text, answer, example.target) if ended else "truncated"
            replies.append((text, answer, outcome, None))
        return replies

    def _model_ends(self) -> set[int]:
        ends = self.model.generation_config.eos_token_id
        return set() if ends is None else {ends} if isinstance(ends, int) else set(ends)


_Reply = tuple[str, str | None, Outcome, dict[str, float] | None]
