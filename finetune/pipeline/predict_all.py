"""Asks everyone who is compared, or reuses what they said before: from the test split to `eval/*.predictions.jsonl`."""

import dataclasses
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from finetune import plugins
from finetune.config.compared_models import LOCAL, Rival, adapter_of, rivals
from finetune.config.schema import Config
from finetune.data import example_files, source
from finetune.evaluation.pairing import Test
from finetune.example import Example, Mode, Prediction
from finetune.pipeline.partial_predictions import Partial
from finetune.rundir import Json, Part, RunDir, canonical_digest, read_json, read_jsonl, sha256_file
from finetune.tasks import Judge


class Asked(Protocol):
    """What `LocalPredictor` does for this module."""

    batch_size: int

    def predict_modes(
        self, examples: Sequence[Example], images_root: Path, modes: Sequence[Mode], who: str
    ) -> Iterator[tuple[Prediction, ...]]:
        """Answers in order, one prediction a mode."""

    def facts(self, examples: Sequence[Example], images_root: Path, mode: Mode, who: str) -> Json:
        """How it is asked: dtype, batch size, whether the batch changes answers, what the adapter is known to fit."""


Opener = Callable[[Config, RunDir, Part, Sequence[str]], Asked]
"""(config, run, part, who of base and tuned) -> the loaded model, with the adapter of the part where tuned is asked."""


@dataclass(frozen=True)
class Answers:
    """Everything that was said.

    Attributes:
        deployed: WHO -> test answers in the mode that it would be deployed in.
        generated: WHO -> those of a local model in the other mode, where questions have closed answers.
        validation: WHO -> answers to the validation split.
        asked: WHO -> how it was asked, as `eval/predictions.json` has it.
        files: all that was written or reused.
    """

    deployed: dict[str, list[Prediction]] = field(default_factory=dict)
    generated: dict[str, list[Prediction]] = field(default_factory=dict)
    validation: dict[str, list[Prediction]] = field(default_factory=dict)
    asked: dict[str, Json] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def collect(config: Config, run: RunDir, test: Test, opener: Opener) -> Answers:
    """Reads the predictions that still hold, asks for the others, and writes those down as they come.

    Local models are asked last: whatever is wrong with a file or a baseline shows before hours are spent.
    """
    wanted = {rival: canonical_digest(identity(config, run, rival)) for rival in rivals(config)}
    held = [rival for rival, own in wanted.items() if _holds(run, rival.who, own)]
    for rival in held:
        print(f"evaluate: predictions of {rival.who} are unchanged and reused", file=sys.stderr)
    missing = [rival for rival in wanted if rival not in held]
    for rival in missing:
        if rival.who not in LOCAL:
            _ask_other(config, run, test, rival)
            _note(run, rival.who, wanted[rival], {})
    local = {rival.who: wanted[rival] for rival in missing if rival.who in LOCAL}
    if local:
        _ask_local(config, run, test, local, opener)
    return _gather(run, [rival.who for rival in wanted])


def record_file(run: RunDir) -> Path:
    """`eval/predictions.json`: WHO -> what its predictions depend on, their digests, and how it was asked."""
    return run.eval / "predictions.json"


def identity(config: Config, run: RunDir, rival: Rival) -> Json:
    """What the predictions of one model depend on: settings and files."""
    parts = run.parts(config.data.folds)
    files = [run.manifest, run.summary, *(part.split("test") for part in parts)]  # manifest and summary: pixels, labels
    own: Json
    if rival.path is not None:
        from finetune.predictors import predictions

        own = predictions.identity(rival.path) | {"task": dataclasses.asdict(config.task)}
    elif rival.who not in LOCAL:
        own = plugins.load("predictor", rival.predictor).identity(config, run)
    else:
        files += [part.split(name) for part in parts for name in ("train", "val")]
        own = {
            "task": dataclasses.asdict(config.task),
            "model": dataclasses.asdict(config.model) | ({"adapter": None} if rival.who == "base" else {}),
            "quantise": config.method.quantise,
            "precision": config.train.precision,
            "batch_size": config.evaluate.batch_size,
        }
    if rival.who == "tuned":
        adapters = sorted({file for part in parts for file in adapter_of(config, part).glob("*") if file.is_file()})
        weights = config.train.class_weights
        own |= {"balance": config.train.balance} | ({"class_weights": weights} if weights else {})
        own |= {"adapters": [sha256_file(file) for file in adapters]}
    return own | {file.relative_to(run.root).as_posix(): sha256_file(file) if file.exists() else None for file in files}


def _holds(run: RunDir, who: str, own: str) -> bool:
    """Whether the predictions on disk are those that this configuration would make."""
    entry = _kept(run).get(who, {"identity": None, "sha256": {}})
    return entry["identity"] == own and all(
        (run.eval / name).is_file() and sha256_file(run.eval / name) == sha for name, sha in entry["sha256"].items()
    )


def _kept(run: RunDir) -> Json:
    return read_json(record_file(run)) if record_file(run).exists() else {}


def _note(run: RunDir, who: str, own: str, asked: Json) -> None:
    """Records a model as soon as its answers are complete, so that a kill afterwards does not ask it again."""
    digests = {path.name: sha256_file(path) for path in _files(run, who)}
    run.write_json(record_file(run), _kept(run) | {who: {"identity": own, "sha256": digests, "asked": asked}})


def _files(run: RunDir, who: str) -> list[Path]:
    about = run.eval / f"{who}.baseline.json"  # what a baseline's predictor says about how it asked
    return [path for path in (*_rows(run, who), about) if path.exists()]


def _rows(run: RunDir, who: str) -> list[Path]:
    return [run.predictions(who), run.predictions(who, True), run.validation(who)]


def _ask_other(config: Config, run: RunDir, test: Test, rival: Rival) -> None:
    """Everyone but the local models answers in one mode, and keeps what it needs to go on after a kill by itself."""
    root = source.image_root(config, run)
    rows: Iterable[Prediction]
    if rival.path is not None:
        from finetune.predictors import predictions

        rows = predictions.predict(config, run, test.examples, root, test.labels, rival.path, rival.who)
    else:
        rows = plugins.load("predictor", rival.predictor).predict(config, run, test.examples, root, test.labels)
    _replace(run, rival.who)
    run.write_jsonl(run.predictions(rival.who), map(dataclasses.asdict, rows))


def _replace(run: RunDir, who: str) -> None:
    """Takes away what WHO said before, of which the other mode or the validation might not come again."""
    for path in _rows(run, who):
        path.unlink(missing_ok=True)


def _ask_local(config: Config, run: RunDir, test: Test, wanted: dict[str, str], opener: Opener) -> None:
    """Loads the base (for each fold again, with its adapter); both models answer validation, then test."""
    asked: dict[str, Json] = {who: {"parts": []} for who in wanted}
    judge = Judge(config.task, test.labels)
    parts = []
    for part, own in example_files.by_part(config, run, test.examples):
        parts.append(part)
        job = _Job(config, run, part, own, any(judge.choices(example) for example in own))
        predictor = opener(config, run, part, list(wanted))
        for who, digest in wanted.items():
            asked[who]["parts"].append({"part": part.name} | job.ask(predictor, who, digest))
        del predictor  # the next part's model needs its memory
    for who, digest in wanted.items():
        _replace(run, who)
        _finish(run, who, digest, list(zip(parts, asked[who]["parts"], strict=True)))
        _note(run, who, digest, asked[who])
    shutil.rmtree(run.eval / "partial")


@dataclass(frozen=True)
class _Job:
    """One part of the data, asked of one model after another."""

    config: Config
    run: RunDir
    part: Part
    examples: Sequence[Example]
    closed: bool

    def ask(self, predictor: Asked, who: str, digest: str) -> Json:
        """Lets a model answer validation and test, as far as it has not yet, and says how it was asked."""
        from finetune.models.label_scoring import choose  # brings torch

        root = source.image_root(self.config, self.run)
        mode: Mode = "generate"
        found: Json = {"log_loss": {}, "validation": 0}
        if self.closed:
            modes = validated(who)
            file = self.part.split("val")
            held_out = example_files.read_split(file) if file.exists() else []
            partial = Partial(self.run, self.run.partial(who, self.part.name, "val"), digest)
            self._continue(predictor, partial, held_out, modes, who)
            rows = list(partial.read())
            columns = {name: [row[index] for row in rows] for index, name in enumerate(modes)}
            mode, losses = choose(columns)
            found = {"log_loss": losses, "validation": len(rows)}
        partial = Partial(self.run, self.run.partial(who, self.part.name, "test"), digest + mode)
        found |= predictor.facts(self.examples, root, mode, who)
        self._continue(predictor, partial, self.examples, _modes(mode), who)
        return found | {"mode": mode, "batch_size": predictor.batch_size}

    def _continue(
        self, predictor: Asked, partial: Partial, examples: Sequence[Example], modes: Sequence[Mode], who: str
    ) -> None:
        left = partial.left(examples)
        if left:
            root = source.image_root(self.config, self.run)
            partial.extend(predictor.predict_modes(left, root, modes, who), predictor.batch_size)


def validated(who: str) -> tuple[Mode, ...]:
    """Ways of scoring that are tried on validation: all of them for an untuned base, which has learned none."""
    from finetune.models.label_scoring import SCORED  # brings torch

    return SCORED if who == "base" else SCORED[:1]


def _modes(mode: Mode) -> tuple[Mode, ...]:
    return (mode,) if mode == "generate" else (mode, "generate")


def _finish(run: RunDir, who: str, digest: str, parts: Sequence[tuple[Part, Json]]) -> None:
    """Puts the parts' answers together under their final names, one line in memory at a time."""

    def column(split: str, choose: Callable[[Mode], int]) -> Iterator[Json]:
        for part, facts in parts:
            own = digest + (facts["mode"] if split == "test" else "")
            for rows in Partial(run, run.partial(who, part.name, split), own).read():
                yield dataclasses.asdict(rows[choose(facts["mode"])])

    run.write_jsonl(run.predictions(who), column("test", lambda _: 0))
    if all(facts["mode"] != "generate" for _, facts in parts):
        run.write_jsonl(run.predictions(who, True), column("test", lambda _: 1))
        run.write_jsonl(run.validation(who), column("val", validated(who).index))


def _gather(run: RunDir, who: Sequence[str]) -> Answers:
    found = Answers()
    kept = _kept(run)
    for name in who:
        found.deployed[name] = _read(run.predictions(name))
        for rows, path in ((found.generated, run.predictions(name, True)), (found.validation, run.validation(name))):
            if path.exists():
                rows[name] = _read(path)
        found.asked[name] = kept[name].get("asked", {})
        found.files.extend(_files(run, name))
    return found


def _read(path: Path) -> list[Prediction]:
    return [Prediction(**row) for row in read_jsonl(path)]
