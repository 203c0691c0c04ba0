"""Recipes whose data is not at hand, on small sources made for them: what they read, ask and group."""

import json

import numpy as np
import pytest
from adapters.dicoms import ct
from adapters.sources import picture, save, write_csv
from PIL import Image, ImageDraw

from finetune.config import compose
from finetune.data import example_files
from finetune.errors import DataError
from finetune.images import decode
from finetune.pipeline import prepare
from finetune.rundir import RunDir, read_json


def prepared(tmp_path, recipe, *more):
    """All examples by split, and the summary."""
    run = RunDir(tmp_path / "run")
    config = compose.compose([f"recipe={recipe}", f"data.path={tmp_path / 'source'}", *more])
    prepare.run(config, run)
    found = {name: example_files.read_split(run.parts(0)[0].split(name)) for name in ("train", "val", "test")}
    return found, read_json(run.summary), run, config


@pytest.mark.parametrize(
    ("recipe", "asks"),
    [
        ("pcb_boxes", "the folder with labels.csv and images/, or with the groupNNNNN folders"),
        ("mvtec", "the folder that holds one sub-folder a category"),
        ("ct_windows", "the folder with labels.csv and the DICOM files"),
        ("document_fields", "labels.csv"),
    ],
)
def test_without_data_it_says_what_it_needs(tmp_path, recipe, asks):
    key = tmp_path / "site.key"
    key.write_bytes(b"k" * 32)
    more = [f"data.site_key={key}"] if recipe == "ct_windows" else []
    with pytest.raises(DataError, match=asks):
        prepare.run(compose.compose([f"recipe={recipe}", *more]), RunDir(tmp_path / "run"))


def test_ct_windows_shows_three_windows_and_groups_by_patient(tmp_path):
    """Air, lung, soft tissue and bone: -1000, -600, 40 and 1000 HU, in every window by hand."""
    (tmp_path / "source").mkdir()
    (tmp_path / "site.key").write_bytes(b"k" * 32)
    rows = [["uid", "finding"]]
    for patient in range(12):
        for slice_number in range(2):
            values = np.full((4, 4), patient, np.int16)
            values[0] = [24, 424, 1064, 2024]
            dataset_of = ct(values, number=slice_number, study=patient + 1, patient=f"P{patient}",
                            RescaleSlope="1", RescaleIntercept="-1024")  # fmt: skip
            dataset_of.save_as(tmp_path / "source" / f"{patient}_{slice_number}.dcm", enforce_file_format=True)
            rows.append([dataset_of.SOPInstanceUID, "finding" if patient % 2 else "none"])
    write_csv(tmp_path / "source" / "labels.csv", rows)
    found, summary, run, _ = prepared(tmp_path, "ct_windows", f"data.site_key={tmp_path / 'site.key'}", "data.folds=0")
    assert (summary["kept"], sum(summary["groups"].values())) == (24, 12)
    example = found["train"][0]
    shown = np.asarray(decode.load(run.data, example.images[0]))[0]
    assert shown.tolist() == [[60, 0, 0], [128, 0, 0], [236, 128, 77], [255, 255, 213]]
    assert "{labels}" not in example.question


def test_mvtec_cuts_parts_into_tiles(tmp_path):
    root = tmp_path / "source" / "bottle"
    for n in range(12):
        save(root / "train" / "good" / f"{n:02d}.png", picture(n, (300, 300)))
        save(root / "test" / "crack" / f"{n:02d}.png", picture(n + 50, (300, 300)))
        mask = np.zeros((300, 300), np.uint8)
        mask[10:16, 280:290] = 255
        save(root / "ground_truth" / "crack" / f"{n:02d}_mask.png", Image.fromarray(mask))
    found, summary, *_ = prepared(tmp_path, "mvtec")
    assert (summary["read"], summary["tiles"]["made"], summary["tiles"]["boxes"]) == (24, 96, 12)
    assert {(e.target, e.images[0].tile) for e in found["test"] if e.target == "defect"} == {
        ("defect", (44, 0, 300, 256))
    }
    assert {example.whole.target for example in found["test"]} == {"good", "defect"}


def test_document_fields_reads_json(tmp_path):
    rows = [["filename", "sender", "fields"]]
    for n in range(20):
        page = Image.new("RGB", (160, 80), "white")
        ImageDraw.Draw(page).text((5, 5), f"No. {n:03d}\nTotal {n}.50", fill="black")
        save(tmp_path / "source" / "images" / f"{n}.png", page)
        fields = {"total": f"{n}.50", "number": f"{n:03d}", "date": None}
        rows.append([f"{n}.png", f"sender {n % 7}", json.dumps(fields)])
    write_csv(tmp_path / "source" / "labels.csv", rows)
    found, summary, *_ = prepared(tmp_path, "document_fields")
    assert summary["kept"] == 20
    example = found["train"][0]
    assert list(json.loads(example.target)) == ["number", "date", "total"]
    assert example.question.startswith("Read these fields: number, date, total.")
    assert not {e.group for e in found["train"]} & {e.group for e in found["test"]}


def test_pcb_boxes_asks_about_two_images_at_the_same_place(tmp_path):
    rows = [["filename", "template", "board", "template_group", "boxes"]]
    for n in range(12):
        for kind in ("test", "temp"):
            save(tmp_path / "source" / "images" / f"{n}_{kind}.png", picture(n, (200, 160)))
        rows.append([f"{n}_test.png", f"{n}_temp.png", "b", f"t{n}", '[[10,20,30,40,"open"]]'])
    write_csv(tmp_path / "source" / "labels.csv", rows)
    found, summary, *_ = prepared(tmp_path, "pcb_boxes", "task.labels=[open]")
    assert summary["tiles"]["made"] == 24
    whole = [example for example in found["test"] if example.boxes]
    assert {example.target for example in whole} == {'[{"label": "open", "box": [62.5, 125, 187.5, 250]}]'}
    assert all(len({ref.tile for ref in example.images}) == 1 for example in found["test"])
    assert {len(example.images) for example in found["test"]} == {2}
