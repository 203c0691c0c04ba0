"""Pictures that the adapter drew into a run and that were deleted are drawn again by the same command."""

from dataclasses import replace

from finetune.config.schema import Config, DataConfig
from finetune.data import source
from finetune.pipeline import runner
from finetune.rundir import RunDir


def test_a_deleted_picture_comes_back(tmp_path, capsys):
    options = {"parts": 12, "views": 1, "seed": 0, "side_px": 32}
    config = replace(Config(stages=("prepare",)), data=DataConfig(adapter="synthetic", options=options, limit=12))
    run = RunDir(tmp_path)
    run.update_status(stages={})
    runner._advance(run, config, "prepare")
    picture = next(run.images.glob("*.png"))
    drawn = picture.read_bytes()
    assert source.images_present(config, run)
    runner._advance(run, config, "prepare")
    assert "prepare: unchanged, skipped" in capsys.readouterr().err
    picture.unlink()
    assert not source.images_present(config, run)
    runner._advance(run, config, "prepare")
    assert picture.read_bytes() == drawn
    assert "prepare: done" in capsys.readouterr().err
