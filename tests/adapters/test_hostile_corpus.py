"""The hostile corpus: each of its files and rows ends in its own refusal, the good ones come through, nothing hangs."""

import dataclasses

import pytest
from adapters import hostile

from finetune import named, pixels
from finetune.errors import DataError
from finetune.example import BadRow


def refusals(case, run):
    """Row or path -> reasons, as `prepare` would quarantine them; and the number of sound examples."""
    adapter = named.load("adapter", case.adapter)
    options = adapter.Options(**case.options)
    root = run if adapter.WRITES_IMAGES else adapter.locate(case.path, options)
    found, good = {}, 0
    for item in adapter.read(case.path, options, run / "images"):
        if isinstance(item, BadRow):
            found.setdefault(item.row, []).append(item.reason)
            continue
        try:
            for ref in item.images:
                pixels.load(root, ref)
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


def test_the_corpus_is_large(tmp_path):
    assert sum(len(hostile.corpus(tmp_path, name).bad) for name in hostile.MAKERS) >= 60
