"""What one number on the user's own task hides: forgetting, refusals, published figures, a fair baseline.

`write` makes `eval/panels.json`; `fairness.check` gives the rows of the fair-baseline check to the comparison. Only the
latter bears on a verdict. Torch is imported only where a model is asked.
"""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from finetune.config.compared_models import adapter_of
from finetune.config.schema import Config
from finetune.data import example_files, source, split
from finetune.example import Example, Prediction
from finetune.models.weight_files import EMBEDDED
from finetune.regressions import published_figures
from finetune.regressions.ask import Item
from finetune.rundir import Json, RunDir, canonical_digest, read_json, read_jsonl, sha256_file
from finetune.tasks import classify

SCHEMA = 1
BOTH = {"base", "tuned"}
Replies = dict[str, dict[str, list[Prediction]]]
"""Set or kind of question -> base and tuned -> predictions."""


def write(config: Config, run: RunDir) -> list[Path]:
    """Asks base and tuned model what no test split asks, and writes `eval/panels.json` and the replies beside it.

    Replies to the same questions by the same weights are reused.

    Raises:
        DataError: `evaluate.general` is not a folder of question sets.
    """
    from finetune.regressions import general_ability, refusals

    panel: Json = {"schema": SCHEMA, "identity": None, "general": [], "refusals": None, "references": [], "notes": []}
    files = [run.panels]
    if set(config.evaluate.models) >= BOTH:
        panel["identity"] = _identity(config, run)
        sets, replies = _former(run, panel["identity"]) or _ask(config, run)
        labels = example_files.labels(run)
        asked = {name: replies[name] for name in sets}
        panel["general"] = [general_ability.row(name, asked[name], **sets[name]) for name in sets]
        panel["refusals"] = refusals.panel(
            {kind: replies[kind] for kind in replies if kind not in sets}, list(asked.values()), labels
        )
        rows = ((name, who, p) for name, both in replies.items() for who, own in both.items() for p in own)
        run.write_jsonl(run.panel_replies, ({"set": n, "who": w, **dataclasses.asdict(p)} for n, w, p in rows))
        files.append(run.panel_replies)
    panel["references"] = published_figures.rows(config, [row["set"] for row in panel["general"]])
    panel["notes"] = _notes(config, panel)
    run.write_json(run.panels, panel)
    return files


def sources(config: Config) -> Json:
    """Digests of the question sets in `evaluate.general`, for the fingerprint of the stage."""
    if config.evaluate.general is None:
        return {}
    from finetune.regressions.benchmark_files import tables

    folder = Path(config.evaluate.general).expanduser()
    files = [file for found in tables(folder).values() for file in found]
    return {"general": {file.relative_to(folder).as_posix(): sha256_file(file) for file in files}}


def _identity(config: Config, run: RunDir) -> str:
    """What the replies depend on: weights, prompts, questions."""
    part = run.parts(config.data.folds)[0]
    adapter = {file.name: sha256_file(file) for file in sorted(adapter_of(config, part).glob("*")) if file.is_file()}
    return canonical_digest(
        {
            "model": dataclasses.asdict(config.model),
            "quantise": config.method.quantise,
            "precision": config.train.precision,
            "labels": list(example_files.labels(run)),
            "adapter": adapter,
            "test": sha256_file(part.split("test")),
            "parser": classify.PARSER,
            **sources(config),
        }
    )


def _former(run: RunDir, identity: str) -> tuple[dict[str, Json], Replies] | None:
    """The replies on disk and what is known of their sets, where they are to these questions by these weights."""
    if not (run.panels.is_file() and run.panel_replies.is_file()):
        return None
    former = read_json(run.panels)
    if former["identity"] != identity:
        return None
    print("evaluate: replies to the general questions are unchanged and reused", file=sys.stderr)
    replies: Replies = {}
    for row in read_jsonl(run.panel_replies):
        own = replies.setdefault(row.pop("set"), {}).setdefault(row.pop("who"), [])
        own.append(Prediction(**row))
    known = {row["set"]: {"left_out": row["left_out"], "files": row["files"]} for row in former["general"]}
    return known, replies


def _ask(config: Config, run: RunDir) -> tuple[dict[str, Json], Replies]:
    """Draws or reads the questions, loads the model once and lets base and tuned answer."""
    from finetune.predictors import local
    from finetune.regressions import refusals
    from finetune.regressions.ask import ask

    part = run.parts(config.data.folds)[0]
    with TemporaryDirectory() as folder:
        images = Path(folder)
        tests = example_files.read_split(part.split("test"))
        sets, questions = _general(config, images, len(tests))
        questions |= refusals.items(_some(tests, refusals.ITEMS), example_files.labels(run), images)
        predictor = local.opened(config, run, part, sorted(BOTH))
        roots = dict.fromkeys(questions, images) | {"absent": source.image_root(config, run)}
        replies = {
            name: {who: list(ask(predictor, items, roots[name], who)) for who in sorted(BOTH)}
            for name, items in questions.items()
        }
    return sets, replies


def _general(config: Config, images: Path, tests: int) -> tuple[dict[str, Json], dict[str, list[Item]]]:
    """What is known of each general set, and its questions."""
    if config.evaluate.general is not None:
        from finetune.regressions.benchmark_files import read

        found = read(Path(config.evaluate.general).expanduser(), images)
        known = {one.name: {"left_out": one.left_out, "files": one.files} for one in found}
        return known, {one.name: list(one.items) for one in found}
    if _embedded(config):
        from finetune.regressions import embedded_questions as own

        count = min(own.ITEMS, max(own.FEWEST, tests))  # a trial on a handful of images is not worth 200 questions
        return {own.NAME: {"left_out": {}, "files": ()}}, {own.NAME: own.items(images, count)}
    return {}, {}


def _embedded(config: Config) -> bool:
    return config.model.id == EMBEDDED and config.model.path is None


def _some(examples: list[Example], count: int) -> list[Example]:
    """`count` examples in hash order, so that they are not all of one part or label."""
    return sorted(examples, key=lambda example: split.fraction("panels", example.id))[:count]


def _notes(config: Config, panel: Mapping[str, object]) -> list[str]:
    """What is missing, and why."""
    if panel["identity"] is None:
        return ["Forgetting and refusals compare base and tuned model; evaluate.models does not name both."]
    notes = []
    if not panel["general"]:
        notes.append(
            "Forgetting was not measured: evaluate.general names no folder with general question sets "
            "(MMMU or MMStar as they are on the hub)."
        )
    if config.data.folds:
        notes.append("The tuned model of these panels is that of the first fold.")
    return notes
