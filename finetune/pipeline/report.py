"""Writes `report/report.html`, self-contained and without a single outside request, `report.md` and `junit.xml`."""

import dataclasses
from pathlib import Path
from typing import Any

from finetune.config.schema import Config
from finetune.data import source
from finetune.errors import DataError
from finetune.example import Example
from finetune.images import decode
from finetune.report import context as content
from finetune.report import gallery, highlights, junit
from finetune.report import render as page
from finetune.report.run_facts import Facts
from finetune.rundir import RunDir, sha256_file


def reads(config: Config, run: RunDir) -> dict[str, Any]:
    """The whole config is printed in the report; the files are those of the earlier stages."""
    files = [run.comparison, run.metrics, run.summary, run.quarantine, run.panels, run.curve]
    files += sorted(
        [*run.eval.glob("*.predictions.jsonl"), *run.eval.glob("*.baseline.json"), *run.eval.glob("egress*")]
    )
    for part in run.parts(config.data.folds):
        files += [part.split("test"), part.train / "trainable.json", part.adapter / "finetune.json"]
        files += [part.train / "log.jsonl", part.train / "validation.jsonl"]
    settings = dataclasses.asdict(config) | {"stages": None, "run": None}
    return settings | {
        file.relative_to(run.root).as_posix(): sha256_file(file) if file.exists() else None for file in files
    }


def sources(config: Config) -> dict[str, Any]:
    """Nothing: pictures come from the images that `prepare` watches."""
    return {}


def run(config: Config, run: RunDir) -> list[Path]:
    """Renders the reports from the files of the run.

    Raises:
        DataError: an image for the gallery cannot be decoded.
    """
    facts = content.gather(config, run)
    values = content.blocks(config, run, facts)
    chosen = highlights.out(facts)
    shown = _gallery(config, run, facts, chosen.ids)
    more = {"gallery": shown, "pictures": pictures(config), "singled": chosen}
    html = run.write_text(run.report / "report.html", page.html(values | more))
    text = run.write_text(run.report / "report.md", page.markdown(values | {"singled": chosen}))
    cases = run.write_text(run.report / "junit.xml", junit.render(facts))
    return [html, text, cases]


def pictures(config: Config) -> str:
    """`full`, `blurred` or `none`: as asked, else none for restricted data and full otherwise."""
    return config.report.pictures or ("none" if config.data.sensitivity == "restricted" else "full")


def _gallery(config: Config, run: RunDir, facts: Facts, first: tuple[str, ...]) -> gallery.Gallery:
    who = [name for name in facts.order if name != "majority"] or list(facts.order)
    deployed = {name: facts.rows(name) for name in who}
    generated = {name: facts.rows(name, True) for name in who if run.predictions(name, True).exists()}
    shown, boxes = pictures(config), config.task.kind == "detect"
    if shown == "none":
        return gallery.build(facts.examples, deployed, generated, None, False, facts.rival, first, boxes)
    root = _image_root(config, run)

    def load(example: Example) -> Any:
        return decode.load(root, example.images[0])

    return gallery.build(facts.examples, deployed, generated, load, shown == "blurred", facts.rival, first, boxes)


def _image_root(config: Config, run: RunDir) -> Path:
    try:
        return source.image_root(config, run)
    except DataError as error:
        raise DataError(f"{error}\nWithout the images, report.pictures=none still makes a report.") from error
