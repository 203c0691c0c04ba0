"""When features are kept, where, and what is said about it."""

import dataclasses

import pytest
import torch
from training import micro

from finetune.config.schema import (
    Config,
    DataConfig,
    HardwareConfig,
    MethodConfig,
    ModelConfig,
    TargetsConfig,
    TrainConfig,
)
from finetune.errors import ConfigError
from finetune.models import feature_cache
from finetune.models import load as models
from finetune.models.encoding import Encoder
from finetune.models.vision_features import Tower
from finetune.rundir import RunDir
from finetune.training import lora


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return micro.save(tmp_path_factory.mktemp("micro"))


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv(feature_cache.FOLDER, str(tmp_path / "cache"))
    return RunDir(tmp_path / "run", 0o600)


def opened(folder, run, *, training=True, targets=("none", "none", "all"), data=None, **train):
    config = Config(
        model=ModelConfig(path=str(folder)),
        hardware=HardwareConfig(device="cpu"),
        method=MethodConfig(rank=2, targets=TargetsConfig(*targets)),
        train=TrainConfig(**train),
        data=data or DataConfig(),
    )
    loaded = models.load(config)
    model, encoder = lora.adapt(loaded, config), Encoder(loaded.processor, loaded.family)
    return feature_cache.opened(config, run, loaded, model, encoder, training=training, tokens=1000)


def test_the_size_is_said_first(folder, run, capsys):
    found = opened(folder, run, feature_cache_max_gb=2.5)
    told = capsys.readouterr().err
    # 1,000 tokens x 32 wide x 4 bytes
    assert "feature cache: on (tower and projector are frozen, images not augmented), about 0.1 MB in" in told
    assert "at most 2.5 GB" in told
    assert found is not None
    assert not (run.root / "cache").exists()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"feature_cache": "off"}, "train.feature_cache=off"),
        ({"augment": "flips"}, "train.augment=flips changes the images each epoch"),
        ({"targets": ("attention", "none", "all")}, "the vision tower or the projector is trained"),
        ({"targets": ("none", "full", "all")}, "the vision tower or the projector is trained"),
    ],
)
def test_it_is_off_where_it_would_not_be_exact_and_says_why(folder, run, capsys, settings, why):
    assert opened(folder, run, **settings) is None
    assert f"feature cache: off ({why})" in capsys.readouterr().err
    if settings.get("feature_cache") != "off":
        with pytest.raises(ConfigError, match=r"train.feature_cache=on: .*; use auto or off"):
            opened(folder, run, **settings, feature_cache="on")


def test_dropout_in_the_tower_is_noise(folder, run, capsys, monkeypatch):
    original = models.load

    def noisy(config):
        loaded = original(config)
        loaded.model.config.vision_config.attention_dropout = 0.1
        return loaded

    monkeypatch.setattr(models, "load", noisy)
    assert opened(folder, run) is None
    assert "the vision tower has dropout, so that its features differ each epoch" in capsys.readouterr().err
    assert opened(folder, run, training=False) is not None  # answers are given without dropout


def test_several_ranks_run_the_tower_together(folder, run, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert opened(folder, run) is None
    assert "feature cache: off (several ranks train, and one that finds an image would" in capsys.readouterr().err
    assert opened(folder, run, training=False) is not None


def test_a_family_without_a_way_in_says_so(folder, run, capsys, monkeypatch):
    original = models.load

    def closed(config):
        loaded = original(config)
        return dataclasses.replace(loaded, family=dataclasses.replace(loaded.family, features=None))

    monkeypatch.setattr(models, "load", closed)
    assert opened(folder, run) is None
    assert "feature cache: off (idefics3: no exact way to feed them" in capsys.readouterr().err


def test_augmentation_is_of_training_alone(folder, run):
    assert opened(folder, run, training=False, augment="inspection") is not None


def test_a_second_look_computes_nothing(folder, run, monkeypatch):
    first = opened(folder, run)
    expected = first.of(micro.picture(0))["rows"]
    again = opened(folder, run)
    monkeypatch.setattr(type(again.tower), "__call__", None)
    assert torch.equal(again.of(micro.picture(0))["rows"], expected)
    assert (again.store.hits, again.store.written) == (1, 0)


def test_an_example_that_was_met_is_shown_without_its_pixels(folder, run, monkeypatch):
    found = opened(folder, run)
    encoder, example, image = found.tower.encoder, micro.example(0), micro.picture(0)
    expected = found.tower(image)["rows"]
    batch = encoder.supervised([example], [[image]])
    monkeypatch.setattr(encoder, "vision", None)  # the processor is not asked again
    found.meet(example, [image], batch)
    monkeypatch.setattr(found.tower, "__class__", Blind)
    for _ in range(2):
        shown = found.shown(batch, [example], None)
        assert "pixel_values" not in shown
        assert torch.equal(torch.cat(shown["mm_encoder_outputs"]["image"].pooler_output), expected)
    found.meet(example, [image], batch)  # known: nothing is computed, and nothing waits to be shown
    assert found._met == {}


class Blind(Tower):
    """A tower that computes nothing more."""

    def __call__(self, *_):
        raise AssertionError


def test_of_several_images_each_is_processed_alone(folder, run):
    """Together the processor may pad one to the size of the other."""
    found = opened(folder, run)
    example, images = micro.example(0, images=2), [micro.picture(0), micro.picture(1, (64, 40))]
    batch = found.tower.encoder.supervised([example], [images])
    found.meet(example, images, batch)
    assert found.store.written == 0
    shown = found.shown(batch, [example], lambda _: images)["mm_encoder_outputs"]["image"].pooler_output
    assert all(torch.equal(row, found.tower(image)["rows"]) for row, image in zip(shown, images, strict=True))


def test_a_damaged_entry_is_computed_again(folder, run, capsys):
    first = opened(folder, run)
    expected = first.of(micro.picture(0))["rows"]
    (path,) = (run.root.parent / "cache").rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-3] + b"abc")
    assert torch.equal(opened(folder, run).of(micro.picture(0))["rows"], expected)
    assert "is damaged; it is computed again" in capsys.readouterr().err


def test_restricted_data_stays_in_the_run(folder, run):
    found = opened(folder, run, data=DataConfig(sensitivity="restricted"))
    found.of(micro.picture(0))
    (path,) = run.root.rglob("*.safetensors")
    assert path.is_relative_to(run.root / "cache" / "features")
    assert path.stat().st_mode & 0o777 == 0o600
    assert not (run.root.parent / "cache").exists()


def test_where_it_is_without_the_variable(monkeypatch, tmp_path, run):
    monkeypatch.delenv(feature_cache.FOLDER)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert feature_cache.folder(Config(), run) == tmp_path / "finetune"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert feature_cache.folder(Config(), run) == tmp_path / "home" / ".cache" / "finetune"


def test_bf16_training_has_features_of_its_own(folder, run):
    plain, lower = (opened(folder, run, precision=precision) for precision in ("fp32", "bf16"))
    assert plain.store.scope != lower.store.scope
    assert lower.of(micro.picture(0))["rows"].dtype == torch.bfloat16
