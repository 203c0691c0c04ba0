"""Near-duplicates through the stage: told, joined, refused, or left out with a reason."""

import dataclasses

import numpy as np
import pytest
from data.duplicates import planted

from finetune.config.schema import Config, DataConfig, SplitConfig, TaskConfig
from finetune.data.split import fraction
from finetune.errors import DataError
from finetune.pipeline import prepare
from finetune.rundir import RunDir, read_json, read_jsonl

GROUPS = (
    "Bacterial pneumonia", "Fungal pneumonia", "No Finding", "Other or unspecified", "Other viral pneumonia",
)  # fmt: skip
TASK = TaskConfig(question="State? {labels}", labels=("good", "cut"))
SPLIT = SplitConfig(val=0, test=0.5)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Eight patients of two films; `twin` holds both films of one that is tested, saved again, and is trained on."""
    root = tmp_path_factory.mktemp("films")
    names = [f"p{number}" for number in range(8)]
    tested = next(name for name in names if fraction("", name) < 0.5)
    twin = next(f"twin{number}" for number in range(99) if fraction("", f"twin{number}") >= 0.5)
    films = planted.cells(16, side=64, sisters=0, seed=5)
    rng = np.random.default_rng(0)
    rows = ["image,label,patient"]
    for number, film in enumerate(films):
        name, label = names[number // 2], ("good", "cut")[number % 2]
        film.save(root / f"{number}.png")
        rows.append(f"{number}.png,{label},{name}")
        if name == tested:
            planted.blurred(film, rng).save(root / f"again{number}.png")
            rows.append(f"again{number}.png,{('cut', 'good')[number % 2]},{twin}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root, tested, twin


def config_of(source, **data):
    given = {"adapter": "table", "path": str(source[0]), "group": "patient", "split": SPLIT} | data
    return Config(data=DataConfig(**given), task=TASK)


def summary_of(config, tmp_path):
    run = RunDir(tmp_path / "run")
    prepare.run(config, run)
    assert not [path.name for path in run.data.iterdir() if path.name.startswith(".")]
    return read_json(run.summary), list(read_jsonl(run.manifest))


def test_a_patient_under_two_names_is_told(source, tmp_path, capsys):
    _, tested, twin = source
    summary, _ = summary_of(config_of(source), tmp_path)
    kinds = [leak["kind"] for leak in summary["leaks"]]
    assert kinds == ["near", "near", "group"]
    assert summary["leaks"][2]["groups"] == sorted([tested, twin])
    assert all(leak["splits"] == ["test", "train"] and leak["distance"] < 0.004 for leak in summary["leaks"])
    assert summary["twin_groups"] == [{"groups": sorted([tested, twin]), "pictures": 2, "of": 2}]
    assert [conflict["kind"] for conflict in summary["conflicts"]] == ["near", "near"]
    assert summary["near"] == {"searched": True, "note": "", "pictures": 18, "pairs": 2}
    told = capsys.readouterr().err
    assert "3 findings of equal or nearly equal images in more than one split" in told
    assert f"groups {sorted([tested, twin])[0]!r} and {sorted([tested, twin])[1]!r} share 2 of 2 images" in told


def test_joined_groups_share_a_split_and_a_name(source, tmp_path):
    _, tested, twin = source
    summary, manifest = summary_of(config_of(source, duplicates="join"), tmp_path)
    first = min(tested, twin)
    assert summary["joined_groups"] == [sorted([tested, twin])]
    assert [leak["kind"] for leak in summary["leaks"]] == []
    rows = [row for row in manifest if row["group"] == first]
    assert len(rows) == 4
    assert len({row["split"] for row in rows}) == 1
    assert {row["group"] for row in manifest} == {f"p{n}" for n in range(8)} | {first}


def test_fail_names_the_images_and_the_ways_out(source, tmp_path):
    with pytest.raises(DataError, match=r"findings of .* again\d+.png#1 in test and train; .*duplicates=join"):
        summary_of(config_of(source, duplicates="fail"), tmp_path)


@pytest.mark.parametrize(
    ("data", "note"),
    [
        ({"duplicates": "off"}, "not searched: data.duplicates=off"),
        ({"decode": "headers"}, "not searched: data.decode=headers decodes no pixels; equal files are found"),
    ],
)  # fmt: skip
def test_what_is_not_searched_is_said(source, tmp_path, data, note, capsys):
    summary, _ = summary_of(config_of(source, **data), tmp_path)
    assert summary["near"] == {"searched": False, "note": note, "pictures": 0, "pairs": 0}
    assert summary["leaks"] == []
    assert f"near-duplicates: {note}" in capsys.readouterr().err


@pytest.mark.shared_data
def test_the_same_films_under_two_patient_numbers(shared_data, tmp_path):
    options = {"image": "filename", "images": "images", "label": "finding_group"}
    data = {
        "path": str(shared_data / "covid_chestxray"),
        "group": "patient_id",
        "options": options,
        "limit": None,
        "folds": 2,
    }
    options["relabel"] = dict.fromkeys(GROUPS, "other") | {"COVID-19": "covid"}
    config = dataclasses.replace(config_of((shared_data, "", ""), **data), task=TaskConfig())
    summary, _ = summary_of(config, tmp_path)
    assert {"groups": ["p178", "p97"], "pictures": 4, "of": 4} in summary["twin_groups"]
