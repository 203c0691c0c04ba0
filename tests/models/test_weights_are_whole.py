"""Weights that are not what they say: missing tensors, an index that points elsewhere, decoys."""

import json
import shutil
from dataclasses import replace

import pytest
from safetensors.torch import load_file, save_file
from training import micro

from finetune.config.schema import Config, ModelConfig
from finetune.errors import ConfigError, IntegrityError
from finetune.models import adapter_files, external_adapter, load, weight_files
from finetune.rundir import RunDir


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return micro.save(tmp_path_factory.mktemp("micro"))


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "base")


def config(folder, family):
    return replace(Config(), model=ModelConfig(path=str(folder), family=family))


@pytest.fixture(scope="module")
def family(whole):
    from training import micro_run

    return micro_run.config(whole).model.family


def test_a_base_with_a_missing_tensor_is_refused(folder, family):
    load.load(config(folder, family))
    tensors = load_file(folder / "model.safetensors")
    gone = next(name for name in tensors if "q_proj" in name)
    del tensors[gone]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(IntegrityError, match=r"1 tensors are missing in the files: .*q_proj"):
        load.load(config(folder, family))


def test_a_tensor_of_another_shape_is_refused(folder, family):
    tensors = load_file(folder / "model.safetensors")
    other = next(name for name in tensors if "q_proj" in name)
    tensors[other] = tensors[other][:-1].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(IntegrityError, match=r"1 tensors are of another shape: .*q_proj"):
        load.load(config(folder, family))


def test_a_decoy_does_not_change_the_digest_and_the_loaded_file_does(folder):
    before = weight_files.weights_digest(folder)
    (folder / "decoy.safetensors").write_bytes(b"x")
    assert weight_files.weights_digest(folder) == before
    (folder / "model.safetensors").write_bytes(b"y")
    assert weight_files.weights_digest(folder) != before


@pytest.mark.parametrize("name", ["../out.safetensors", "pytorch_model.bin", "/etc/passwd", "link.safetensors"])
def test_an_index_names_files_of_the_folder_alone(folder, name):
    (folder / "model.safetensors").rename(folder.parent / "out.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "link.safetensors").symlink_to(folder.parent / "out.safetensors")
    index = {"weight_map": {"a": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ConfigError, match=r"expected a \.safetensors file that lies in this folder"):
        weight_files.loaded_files(folder)


def settings(folder, **more):
    folder.mkdir(exist_ok=True)
    usual = {"peft_type": "LORA", "r": 2, "megatron_core": "megatron.core", "qalora_group_size": 16}
    (folder / "adapter_config.json").write_text(json.dumps(usual | more))
    return folder


def test_settings_that_import_are_refused(tmp_path):
    assert adapter_files.check_settings(settings(tmp_path / "a")) == {"peft_type": "LORA", "r": 2}
    with pytest.raises(ConfigError, match="megatron_core set by another PEFT"):
        adapter_files.check_settings(settings(tmp_path / "a", megatron_core="evil"))


@pytest.mark.parametrize("name", ["pissa", "pissa_niter_4", "olora", "OLoRA"])
def test_adapters_of_changed_base_weights_are_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="path_initial_model_for_weight_conversion"):
        adapter_files.check_settings(settings(tmp_path / "a", init_lora_weights=name))


@pytest.mark.parametrize("wrapped", ["_orig_mod.", "module.", "_fsdp_wrapped_module.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_taken_off(wrapped):
    name = f"base_model.model.{wrapped}model.q_proj.lora_A.weight"
    found = external_adapter._place(name, {"model.q_proj"})
    assert found == "base_model.model.model.q_proj.lora_A.weight"


@pytest.mark.parametrize("how", ["changed", "gone", "added"])
def test_an_adapter_that_differs_from_the_record_of_its_run_is_refused(tmp_path, how):
    run = RunDir(tmp_path / "run")
    adapter = run.train / "adapter"
    files = [adapter / name for name in ("adapter_config.json", "adapter_model.safetensors")]
    for file in files:
        run.write_text(file, "as it was")
    adapter_files.check_record(adapter)
    run.record(files)
    adapter_files.check_record(adapter)
    if how == "gone":
        files[1].unlink()
    else:
        (files[1] if how == "changed" else adapter / "more.json").write_text("as it is")
    named = "more.json" if how == "added" else "adapter_model.safetensors"
    with pytest.raises(IntegrityError, match=f"train/adapter/{named} differs from the record"):
        adapter_files.check_record(adapter)
