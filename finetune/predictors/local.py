"""Answers of a model on this machine: labels scored with a shared prefix, or text generated.

The base is the tuned model with its adapter switched off, so that both share one copy of the weights.
"""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from PIL.Image import Image
from torch import Tensor
from tqdm import tqdm

from finetune.config.compared_models import adapter_of
from finetune.config.schema import Config, TaskConfig
from finetune.data import example_files
from finetune.example import Example, Mode, Outcome, Prediction
from finetune.images import decode
from finetune.models import external_adapter, feature_cache, label_scoring
from finetune.models import load as models
from finetune.models.decoding import Prefix, greedy, prefill
from finetune.models.encoding import Encoder
from finetune.models.feature_cache import FeatureCache
from finetune.models.label_scoring import SCORED, LabelScores, Texts, spellings, undone
from finetune.models.load import Loaded
from finetune.rundir import Json, Part, RunDir, sha256_file
from finetune.scoring.box_notations import Form
from finetune.tasks import Judge, _forms

SLACK_TOKENS = 16
"""Room for words around the longest label before a generated answer counts as truncated."""

OPEN_TOKENS = 64
"""Tokens of the answer to an open question, where nobody says more."""

CHECKED = 4
"""Examples that are asked alone and together, to see whether answers depend on the batch."""


def score_labels(
    model: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    images: Sequence[Sequence[Image]],
    labels: Sequence[str],
    synonyms: Mapping[str, Sequence[str]] | None = None,
) -> Tensor:
    """Scores every label of a closed set after each prompt, with one prefill for all of them.

    Returns:
        `[examples, labels]`, as `LabelScores.scores` has it for the mode `score`.
    """
    with torch.no_grad():
        prefix = prefill(model, encoder.prompts(examples, images), encoder.family)
        scorer = LabelScores(model, encoder, synonyms)
        return scorer.scores(prefix, examples, [labels] * len(examples), ("score",))["score"]


class LocalPredictor:
    """Answers of the base and of the tuned model, from one copy of the weights.

    Args:
        loaded: the model; where it is a PEFT model, `who="base"` answers with the adapter switched off.
        labels: the closed answers; empty where answers are open.
        task: kind, question and synonyms; `task.kind` names the module that parses and judges replies.
        batch_size: examples a forward pass; halved, with a note, where memory does not suffice.
        name: what the answers say they are from; the digest of the weights is added.
        adapter: sha256 of the adapter's weights, or "" where it is no file; the tuned answers name it.
        prior: label -> share in the data over share in training, where training evened labels out; it is put back into
            the probabilities of the tuned model, whose answer stays the one that it was trained to give; the row then
            holds both.
        longest: tokens that the answer to an open question may take; a closed one has those of its longest label.
        base: whether the adapter is known to be of these weights: verified, unverified, or None without an adapter.
        form: example -> the notation that its boxes are asked for in.
    """

    def __init__(
        self,
        loaded: Loaded,
        labels: Sequence[str],
        task: TaskConfig,
        batch_size: int,
        name: str = "local",
        adapter: str = "",
        prior: Mapping[str, float] | None = None,
        longest: int = OPEN_TOKENS,
        base: str | None = None,
        form: Callable[[Example], Form] | None = None,
    ) -> None:
        """Puts the model into evaluation mode.

        Raises:
            ConfigError: there is no task of that kind.
        """
        self.model: Any = loaded.model.eval()
        self.encoder = Encoder(loaded.processor, loaded.family, _forms.marks(task) if form else ())
        self.name = f"{name}@{loaded.sha256[:12]}"
        self.tuned_name = f"{self.name}+adapter{'@' * bool(adapter)}{adapter[:12]}"
        self.judge = Judge(task, tuple(labels), form)
        self.judge.module.PARSER  # noqa: B018 - an unknown kind is said before anything is computed
        self.batch_size = batch_size
        self.prior, self.longest = prior, longest
        self.base = base
        self.features: FeatureCache | None = None
        """Those of a tower that base and tuned model share, computed once for both; None = from pixels each time."""
        self.dtype = str(loaded.dtype).removeprefix("torch.")
        self.device = loaded.device
        self._scorers = {who: LabelScores(self.model, self.encoder, task.synonyms) for who in ("base", "tuned")}

    def predict(self, examples: Sequence[Example], images_root: Path, mode: Mode, who: str) -> Iterator[Prediction]:
        """Answers examples in order, in one answering mode; progress goes to standard error."""
        for (prediction,) in self.predict_modes(examples, images_root, (mode,), who):
            yield prediction

    def predict_modes(
        self, examples: Sequence[Example], images_root: Path, modes: Sequence[Mode], who: str
    ) -> Iterator[tuple[Prediction, ...]]:
        """Answers examples in order, in several modes at once: the prompt and its image are run through once.

        Nothing but one batch is held in memory.

        Yields:
            One prediction a mode for each example.

        Raises:
            DataError: an image cannot be decoded.
        """
        with tqdm(total=len(examples), desc=f"evaluate {who}", unit="image") as bar:
            start = 0
            while start < len(examples):
                rows = self._answered(examples[start : start + self.batch_size], images_root, modes, who)
                yield from rows
                start += len(rows)
                bar.update(len(rows))

    def facts(self, examples: Sequence[Example], images_root: Path, mode: Mode, who: str) -> Json:
        """Finds a batch size that fits, and says how the model is asked: dtype, device, what the batch changes.

        Returns:
            `batches` (see `check_batches`), `asked_batch_size`, `device`, `prior` and, for tuned, `base`: whether the
            adapter is known to be of these weights.
        """
        wanted = self.batch_size
        if self.device.type == "cuda":
            self.probe(examples, images_root, mode, who)
        found: Json = {"batches": self.check_batches(examples, images_root, mode, who), "asked_batch_size": wanted}
        found |= {"device": self.device.type, "prior": None}
        if who == "tuned":
            found |= {"prior": dict(self.prior) if self.prior else None, "base": self.base}
        return found

    def probe(self, examples: Sequence[Example], images_root: Path, mode: Mode, who: str) -> None:
        """Asks a batch of the longest prompts first, so that too large a batch shows before hours have passed."""
        sizes = {example.id: [decode.load(images_root, ref).size for ref in example.images] for example in examples}
        cost = {example.id: sum(wide * high for wide, high in sizes[example.id]) for example in examples}
        largest = sorted(examples, key=lambda example: (cost[example.id], len(example.question)), reverse=True)
        self._answered(largest[: self.batch_size], images_root, (mode,), who)

    def check_batches(self, examples: Sequence[Example], images_root: Path, mode: Mode, who: str) -> Json:
        """Whether answers depend on the batch that they are asked in, as rounding in bf16 makes them.

        Returns:
            `n`, `answers_equal`, `max_difference` of a probability, `dtype` and `batch_size`.
        """
        few = examples[: min(CHECKED, self.batch_size)]
        together = self._answered(few, images_root, (mode,), who)
        alone = [self._answered([example], images_root, (mode,), who)[0] for example in few[: len(together)]]
        pairs = [(a[0], b[0]) for a, b in zip(together, alone, strict=True)]
        gaps = [
            abs(p - (b.probabilities or {})[label]) for a, b in pairs for label, p in (a.probabilities or {}).items()
        ]
        same = sum(a.answer == b.answer for a, b in pairs)
        if same < len(pairs):
            print(
                f"evaluate: {who}: {len(pairs) - same} of {len(pairs)} answers change with the batch that they are "
                f"asked in ({self.dtype}); evaluate.batch_size=1 or train.precision=fp32 avoids it.",
                file=sys.stderr,
            )
        found = {"n": len(pairs), "answers_equal": same, "max_difference": max(gaps, default=0.0)}
        return found | {"dtype": self.dtype, "batch_size": len(together)}

    def _answered(
        self, batch: Sequence[Example], root: Path, modes: Sequence[Mode], who: str
    ) -> list[tuple[Prediction, ...]]:
        """Answers the whole batch, or as much of its beginning as memory allows."""
        while True:
            try:
                with torch.inference_mode(), self._state(who):
                    return list(zip(*self._batch(batch, root, modes, who), strict=True))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if len(batch) == 1 or not _is_out_of_memory(error):
                    raise
                batch = batch[: len(batch) // 2]
            self.batch_size = len(batch)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            print(f"evaluate: out of memory; going on with batches of {self.batch_size}", file=sys.stderr)

    def _state(self, who: str) -> AbstractContextManager[Any]:
        if who == "base" and isinstance(self.model, PeftModel):
            return self.model.disable_adapter()
        return nullcontext()

    def _batch(self, batch: Sequence[Example], root: Path, modes: Sequence[Mode], who: str) -> list[list[Prediction]]:
        began = time.perf_counter()
        images = [[decode.load(root, ref) for ref in example.images] for example in batch]
        digests = [decode.digest(each) for each in images]
        inputs = self.encoder.prompts(batch, images)
        fed = self.features.feed(inputs, images) if self.features else inputs
        prefix = prefill(self.model, fed, self.encoder.family)
        choices = [self.judge.choices(example) for example in batch]
        shared_s = time.perf_counter() - began
        began = time.perf_counter()
        written = self._generated(batch, prefix, choices) if "generate" in modes or not all(choices) else []
        written_s = time.perf_counter() - began
        began = time.perf_counter()
        scored = [mode for mode in modes if mode in SCORED]
        replies: dict[Mode, list[_Reply]] = {"generate": written}
        if scored and any(choices):
            replies |= self._scored(batch, prefix, choices, scored, who)
        scored_s = (time.perf_counter() - began) / max(1, len(scored))
        found = []
        for mode in modes:
            own_s = written_s if mode == "generate" else scored_s
            rows = [(replies[mode] if own else written)[index] for index, own in enumerate(choices)]
            found.append(
                [
                    self.judge.prediction(
                        example,
                        text,
                        answer,
                        outcome=outcome,
                        probabilities=probabilities,
                        even_probabilities=even,
                        image_sha256=digest,
                        seconds=(shared_s + own_s) / len(batch),
                        model=self.name if who == "base" else self.tuned_name,
                    )
                    for example, digest, (text, answer, outcome, probabilities, even) in zip(
                        batch, digests, rows, strict=True
                    )
                ]
            )
        return found

    def _scored(
        self, batch: Sequence[Example], prefix: Prefix, choices: Texts, modes: Sequence[Mode], who: str
    ) -> dict[Mode, list["_Reply"]]:
        found: dict[Mode, list[_Reply]] = {}
        for mode, scores in self._scorers[who].scores(prefix, batch, choices, modes).items():
            found[mode] = []
            for row, own in zip(scores.double(), choices, strict=True):
                if not own:
                    found[mode].append(
                        ("", None, "unparsed", None, None)
                    )  # an open answer: what was written takes its place
                    continue
                chances = dict(zip(own, row[: len(own)].softmax(-1).tolist(), strict=True))
                answer = max(chances, key=lambda label: chances[label])
                prior = self.prior if who == "tuned" else None
                found[mode].append((answer, answer, None, undone(prior, chances), chances if prior else None))
        return found

    def _generated(self, batch: Sequence[Example], prefix: Prefix, choices: Texts) -> list["_Reply"]:
        tokens = [
            self.encoder.answer_ids(example, text)
            for example, own in zip(batch, choices, strict=True)
            for group in spellings(own, self.judge.task.synonyms)
            for text in group
        ]
        limit = max([0 if all(choices) else self.longest, *map(len, tokens)]) + SLACK_TOKENS
        replies: list[_Reply] = []
        for example, (ids, ended) in zip(
            batch, greedy(self.model, prefix, {self.encoder.end_id} | self._model_ends(), limit), strict=True
        ):
            text = self.encoder.decode(ids)
            answer = self.judge.parse(text, example) if ended else None
            replies.append((text, answer, None if ended else "truncated", None, None))
        return replies

    def _model_ends(self) -> set[int]:
        ends = self.model.generation_config.eos_token_id
        return set() if ends is None else {ends} if isinstance(ends, int) else set(ends)


def _is_out_of_memory(error: BaseException) -> bool:
    """CUDA has an error of its own; the CPU's allocator raises a plain RuntimeError that says so."""
    told = str(error)
    return not isinstance(error, RuntimeError) or isinstance(error, torch.OutOfMemoryError) or "alloc" in told


_Reply = tuple[str, str | None, Outcome | None, dict[str, float] | None, dict[str, float] | None]
"""Text, answer, outcome, probabilities, and those by which the answer was chosen where they are others."""


def opened(config: Config, run: RunDir, part: Part, who: Sequence[str], *, keep: bool = True) -> LocalPredictor:
    """The base of a run, with the adapter of one part where the tuned model is among those who will be asked.

    Args:
        config: model, task, batch size.
        run: its labels and its adapter.
        part: whose adapter.
        who: of base and tuned.
        keep: whether features of images may be kept for the next time.

    Raises:
        ConfigError: there are no such weights or no such adapter.
        IntegrityError: the adapter does not belong to this base.
    """
    loaded = models.load(config)
    labels, digest, known, prior = example_files.labels(run), "", None, None
    train = example_files.read_split(part.split("train")) if part.split("train").exists() else []
    if "tuned" in who:
        folder = adapter_of(config, part)
        model, known = external_adapter.attach(loaded, folder)
        loaded = dataclasses.replace(loaded, model=model)
        weights = folder / external_adapter.WEIGHTS
        digest = sha256_file(weights) if weights.is_file() else ""
        own = config.model.adapter is None
        prior = label_scoring.shift(train, labels, config.train.balance, config.train.class_weights) if own else None
    name = Path(config.model.path).name if config.model.path else config.model.id
    form = _forms.of_model(config, loaded.processor, loaded.family)
    size, longest = config.evaluate.batch_size, _longest(loaded, _forms.written(train, form))
    task = _forms.settled(config)
    found = LocalPredictor(loaded, labels, task, size, name, digest, prior, longest, known, form)
    if keep:
        found.features = feature_cache.opened(config, run, loaded, loaded.model, found.encoder, training=False)
    return found


def _longest(loaded: Loaded, train: Sequence[Example]) -> int:
    """Tokens that the answer to an open question may take: twice the longest that was trained."""
    written = {example.target for example in train}
    tokens = [len(loaded.processor.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in written]
    return max([OPEN_TOKENS, *(2 * count for count in tokens)])
