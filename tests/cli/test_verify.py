"""`verify` on a whole run, and after one byte of each kind of file was flipped."""

import json
import shutil

import pytest
import synthetic

from finetune.cli import verify
from finetune.errors import ConfigError, IntegrityError
from finetune.rundir import RunDir


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        _, run = synthetic.finished(patch, tmp_path_factory.mktemp("runs") / "whole", parts=5)
    return run


@pytest.fixture
def copy(whole, tmp_path):
    """A run works after `cp -r`, so the copies are verified elsewhere than where they were made."""
    return RunDir(shutil.copytree(whole.root, tmp_path / "copy"))


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_a_whole_run_verifies(copy, capsys):
    verify.run([str(copy.root)])
    out = capsys.readouterr().out
    assert "files of finished stages" in out
    assert "as in the manifest" in out
    assert "match config.yaml" in out
    assert f"fingerprints of stages      {4:>7}" in out


def artefacts(whole):
    return sorted({*whole.audit(), "data/images/part000_view0.png"})


def test_one_flipped_bit_in_any_file_is_found_and_named(whole, copy):
    names = artefacts(whole)
    assert len(names) > 20
    assert {"report/report.html", "eval/comparison.json", "train/log.jsonl", "config.yaml"} <= set(names)
    for name in names:
        before = (copy.root / name).read_bytes()
        flip(copy.root / name)
        with pytest.raises(IntegrityError) as caught:
            verify.run([str(copy.root)])
        assert name in str(caught.value), name
        (copy.root / name).write_bytes(before)
    verify.run([str(copy.root)])


@pytest.mark.parametrize("name", ["data/test.jsonl", "eval/tuned.predictions.jsonl", "report/report.md"])
def test_a_missing_file_is_named(copy, name):
    (copy.root / name).unlink()
    with pytest.raises(IntegrityError, match=f"{name}: is missing"):
        verify.run([str(copy.root)])


def lines(copy):
    return copy.audit_file.read_text().splitlines(keepends=True)


def test_every_entry_of_the_chain_counts(copy):
    kept = lines(copy)
    changed = json.loads(kept[3]) | {"sha256": "0" * 64}
    copy.audit_file.write_text("".join([*kept[:3], json.dumps(changed) + "\n", *kept[4:]]))
    with pytest.raises(IntegrityError, match="entry 4: the chain is broken"):
        verify.run([str(copy.root)])
    copy.audit_file.write_text("".join([*kept[:3], *kept[4:]]))
    with pytest.raises(IntegrityError, match="entry 3: the chain is broken"):
        verify.run([str(copy.root)])


def test_entries_cut_off_the_end_are_missed(copy):
    copy.audit_file.write_text("".join(lines(copy)[:-5]))
    with pytest.raises(IntegrityError, match=r"run\.json: has no record"):
        verify.run([str(copy.root)])


def test_a_missing_record_is_no_success(copy):
    copy.audit_file.unlink()
    with pytest.raises(IntegrityError, match=r"audit\.jsonl is missing"):
        verify.run([str(copy.root)])


def test_a_record_may_not_point_out_of_the_run(copy):
    outside = copy.root.parent / "outside.txt"
    outside.write_text("x")
    link = copy.eval / "link.json"
    link.symlink_to(outside)
    copy.record([link])
    with pytest.raises(IntegrityError, match=r"eval/link\.json: lies outside the run"):
        verify.run([str(copy.root)])


def test_a_report_of_other_predictions_is_said_to_be_out_of_date(copy, capsys):
    """The comparison was replaced and recorded, the report not made again: allowed, but not silent."""
    copy.write_text(copy.comparison, copy.comparison.read_text() + "\n")
    status = copy.status()
    digest = verify.sha256_file(copy.comparison)
    status["stages"]["evaluate"]["files"]["eval/comparison.json"] = digest
    copy.update_status(**status)
    copy.record([copy.comparison, copy.status_file])
    verify.run([str(copy.root)])
    assert "out of date: report" in capsys.readouterr().out


def test_a_training_on_other_data_is_refused(copy):
    """Split and record agree, but the adapter was trained on another split."""
    split = copy.data / "train.jsonl"
    copy.write_text(split, split.read_text() + "\n")
    status = copy.status()
    status["stages"]["prepare"]["files"]["data/train.jsonl"] = verify.sha256_file(split)
    copy.update_status(**status)
    copy.record([split, copy.status_file])
    with pytest.raises(IntegrityError, match="stage train: was made from other settings or files"):
        verify.run([str(copy.root)])


def test_another_version_is_not_compared(copy, monkeypatch, capsys):
    monkeypatch.setattr(verify, "__version__", "9.0.0")
    verify.run([str(copy.root)])
    assert "not comparable: made with version" in capsys.readouterr().out


def test_files_without_a_record_are_shown(copy, capsys):
    (copy.eval / "gpt.predictions.jsonl").write_text("{}\n")
    rows = verify.check(copy)
    assert rows[-1] == ("files without a record", 1, "eval/gpt.predictions.jsonl")


@pytest.mark.parametrize(("arguments", "message"), [([], "takes one run directory, got 0"), (["a", "b"], "got 2")])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        verify.run(arguments)


def test_no_run_directory(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no run\.json"):
        verify.run([str(tmp_path)])


def test_source_images_stay_outside(whole, copy):
    summary = json.loads(copy.summary.read_text()) | {"root": "source"}
    copy.write_json(copy.summary, summary)
    assert verify._images(copy) == (0, "the source lies outside the run", [])
