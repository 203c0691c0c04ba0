"""The hostile corpus: each of its files and rows ends in its own refusal, the good ones come through, nothing hangs."""

import dataclasses
from pathlib import Path

import pytest
from adapters import hostile

import finetune
from finetune import plugins
from finetune.config.schema import Config, DataConfig, TaskConfig
from finetune.data import ingest
from finetune.errors import DataError
from finetune.example import BadRow
from finetune.images import decode
from finetune.rundir import RunDir


def refusals(case, run):
    """Row or path -> reasons, as `prepare` would quarantine them; and the number of sound examples."""
    adapter = plugins.load("adapter", case.adapter)
    options = adapter.Options(**case.options)
    root = run if adapter.WRITES_IMAGES else adapter.locate(case.path, options)
    found, good = {}, 0
    for item in adapter.read(case.path, options, run / "images"):
        if isinstance(item, BadRow):
            found.setdefault(item.row, []).append(item.reason)
            continue
        try:
            for ref in item.images:
                decode.load(root, ref)
            good += 1
        except DataError as error:
            found.setdefault(item.row, []).append(str(error))
    return found, good


@pytest.mark.parametrize("name", sorted(hostile.MAKERS))
def test_each_ends_in_its_refusal(tmp_path, name):
    (tmp_path / "run" / "images").mkdir(parents=True)
    case = hostile.corpus(tmp_path, name)
    found, good = refusals(case, tmp_path / "run")
    orphans = {row for row in found if name == "dicom" and row.startswith("labels.csv uid=")}
    assert set(found) - orphans == set(case.bad)
    assert {row: found[row] for row, reason in case.bad.items() if not any(reason in said for said in found[row])} == {}
    assert good == case.good
    assert dataclasses.is_dataclass(case)


TASKS = {
    "coco": TaskConfig(kind="detect", labels=("dent",)),
    "yolo": TaskConfig(kind="detect", labels=("dent",)),
    "voc": TaskConfig(kind="detect", labels=("dent",)),
    "conversations": TaskConfig(kind="describe"),
    "cvat": TaskConfig(kind="detect", labels=("dent",)),
    "label_studio": TaskConfig(kind="detect", labels=("dent",)),
    "labelme": TaskConfig(kind="detect", labels=("dent",)),
    "messages": TaskConfig(kind="describe"),
    "deeppcb": TaskConfig(kind="detect", labels=("open",)),
}


@pytest.mark.parametrize("name", sorted(hostile.MAKERS))
def test_set_aside_the_counts_reconcile_and_it_ends(tmp_path, name):
    """As `prepare` takes it in: every row that was read is kept or in quarantine; nothing is lost, nothing hangs."""
    case = hostile.corpus(tmp_path, name)
    options = {key: value for key, value in case.options.items() if key != "site_key"}
    data = DataConfig(adapter=name, path=str(case.path), on_bad_row="quarantine", options=options)
    data = dataclasses.replace(data, site_key=case.options.get("site_key"), bad_row_limit=1000)
    run = RunDir(tmp_path / "prepared")
    with ingest.Spool(run, "kept") as spool:
        kept, bad, counts = ingest.take(Config(data=data, task=TASKS.get(name, TaskConfig())), run, spool)
        assert len(list(spool.rows())) == len(kept) == counts["kept"] == case.good
    late = counts["taken"] - counts["kept"]
    assert counts["read"] == counts["taken"] == case.good + late
    assert len(bad) >= len(case.bad)
    assert {row.row for row in bad} >= set(case.bad)


def test_every_adapter_that_reads_files_is_in_it():
    assert sorted(hostile.MAKERS) == [name for name in plugins.names("adapter") if name != "synthetic"]


def test_the_page_counts_it(tmp_path):
    """Bad files and rows in as many formats as docs/data.md says."""
    count = sum(len(hostile.corpus(tmp_path, name).bad) for name in hostile.MAKERS)
    page = (Path(finetune.__file__).resolve().parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    assert f"a corpus of {count} bad files and rows in {len(hostile.MAKERS)} formats" in page
