import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training import micro

from finetune.config import compose
from finetune.config.schema import Config, HardwareConfig, MethodConfig, ModelConfig, TrainConfig
from finetune.errors import ConfigError, IntegrityError, ResourceError
from finetune.families import _base as families
from finetune.models import load as models
from finetune.models import weight_files
from finetune.models.quantisation import check_four_bit, four_bit_modules
from finetune.rundir import RunDir
from finetune.training import lora


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return micro.save(tmp_path_factory.mktemp("models"))


@pytest.fixture
def copied(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def config(path, **changes):
    return Config(model=ModelConfig(path=str(path), **changes), hardware=HardwareConfig(device="cpu"))


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_folder_loads_frozen_in_fp32_with_the_pil_processor(folder):
    loaded = models.load(config(folder))
    assert type(loaded.model).__name__ == "Idefics3ForConditionalGeneration"
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert not loaded.model.training
    assert type(loaded.processor.image_processor).__name__ == "Idefics3ImageProcessorPil"
    assert (loaded.device.type, loaded.source) == ("cpu", folder)


def test_pixels_replace_what_the_processor_was_saved_with(folder):
    small = models.load(config(folder, pixels={"size": {"longest_edge": 16}}))
    assert small.processor.image_processor.size["longest_edge"] == 16
    assert small.processor_sha256 != models.load(config(folder)).processor_sha256


def test_a_misspelt_pixel_setting_gets_the_nearest_match(folder):
    with pytest.raises(ConfigError, match=r"unknown model.pixels of idefics3 'sizes'. Did you mean 'size'\?"):
        models.load(config(folder, pixels={"sizes": 3}))


def test_another_architecture_names_the_family_that_fits(copied):
    change(copied / "config.json", model_type="smolvlm")
    with pytest.raises(ConfigError, match=r"says model_type 'smolvlm': use model.family=smolvlm"):
        models.load(config(copied))
    change(copied / "config.json", model_type="bert")
    with pytest.raises(ConfigError, match=r"serves idefics3, but .* says model_type 'bert': no family file serves it"):
        models.load(config(copied))
    change(copied / "config.json", model_type=["florence2"])
    with pytest.raises(ConfigError, match=r"says model_type \['florence2'\]: no family file serves it"):
        models.load(config(copied))


@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "tokenizer_config.json"])
def test_code_in_a_checkpoint_is_refused(copied, name):
    change(copied / name, auto_map={"AutoModel": "evil.Evil"})
    with pytest.raises(ConfigError, match=rf"{name} asks for code of its own \('auto_map'\)"):
        models.load(config(copied))


def test_code_deep_in_a_config_is_refused(copied):
    values = json.loads((copied / "config.json").read_text())
    values["text_config"]["_attn_implementation_internal"] = "someone/kernel"
    change(copied / "config.json", **values)
    with pytest.raises(ConfigError, match="_attn_implementation_internal"):
        models.load(config(copied))


def test_pickled_weights_are_not_read(copied):
    (copied / "model.safetensors").unlink()
    (copied / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"holds no .safetensors file; other weight formats can carry code"):
        models.load(config(copied))


def test_weights_that_are_quantised_already_are_refused(copied):
    change(copied / "config.json", quantization_config={"load_in_4bit": True, "quant_method": "bitsandbytes"})
    with pytest.raises(
        ConfigError, match=r"are quantised already, .* Give the original weights; method=qlora quantises"
    ):
        models.load(config(copied))


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"model.path: .* holds no config.json"):
        models.load(config(tmp_path))


def test_hub_weights_that_are_not_here_tell_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"'nobody/none' is not in the cache .* network=none. Give model.path=FOLDER"):
        weight_files.locate(ModelConfig(id="nobody/none"), offline=True)


def test_embedded_is_a_folder_of_the_package():
    assert weight_files.locate(ModelConfig(), offline=True).parts[-3:] == ("finetune", "embedded", "tiny")


def test_a_missing_package_is_a_resource_error(folder, monkeypatch):
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ResourceError, match=r"model.family=smolvlm needs torchvision and num2words: pip install torchv"
    ):
        models.load(config(folder, family="smolvlm"))
    with pytest.raises(ResourceError, match=r"method.quantise=nf4 needs bitsandbytes: pip install bitsandbytes"):
        models.load(config(folder), quantise=True)


def test_cuda_that_is_not_there_is_a_resource_error(folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ResourceError, match=r"hardware.device=cuda: torch sees no CUDA device"):
        models.load(replace(config(folder), hardware=HardwareConfig(device="cuda")))


@pytest.mark.parametrize(
    ("asked", "device", "native", "expected"),
    [
        ("auto", "cpu", False, "fp32"),
        ("auto", "cpu", True, "bf16"),
        ("fp32", "cpu", True, "fp32"),
        ("bf16", "cpu", False, "bf16"),
        ("auto", "cuda", True, "bf16"),
        ("auto", "cuda", False, "fp32"),
        ("fp32", "cuda", True, "fp32"),
    ],
)
def test_precision_by_capability(monkeypatch, asked, device, native, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: native and device == "cuda")
    monkeypatch.setattr(models.cpu, "multiplies_bf16", lambda: native and device == "cpu")
    assert models.precision(Config(train=TrainConfig(precision=asked)), torch.device(device)) == expected


def test_threads_are_set(folder):
    before = torch.get_num_threads()
    models.load(replace(config(folder), hardware=HardwareConfig(device="cpu", threads=1)))
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


def test_four_bit_layers_lie_in_the_language_model_alone(folder):
    loaded = models.load(replace(config(folder), method=MethodConfig(quantise="nf4")))
    names = list(four_bit_modules(loaded.model))
    assert len(names) == 14
    assert all(name.startswith("model.text_model.layers.") for name in names)
    assert not list(four_bit_modules(models.load(config(folder)).model))


def test_prefixes_that_keep_nothing_out_are_an_error(folder):
    loaded = models.load(config(folder), quantise=True)
    wrong = replace(loaded.family, language_model=("model.nothing",), projector=("model",))
    with pytest.raises(
        ConfigError, match=r"4-bit layers in the language model of idefics3 alone, got 14 with 14 outside"
    ):
        check_four_bit(loaded.model, wrong)


@pytest.fixture
def adapter(folder, tmp_path):
    loaded = models.load(config(folder))
    model = lora.adapt(loaded, Config(method=MethodConfig(rank=2)))
    lora.save_adapter(model, loaded, tmp_path / "adapter", RunDir(tmp_path))
    return tmp_path / "adapter"


def test_an_adapter_of_other_weights_is_refused(adapter, tmp_path):
    other = models.load(config(micro.save(tmp_path / "other", seed=9)))
    change(adapter / "finetune.json", base_sha256="0" * 64)
    with pytest.raises(IntegrityError, match=r"does not belong to .*: base_sha256: trained with 0{64}, got"):
        models.attach(other, adapter)


def test_an_adapter_of_another_pixel_policy_is_refused(adapter, folder):
    other = models.load(config(folder, pixels={"size": {"longest_edge": 16}}))
    with pytest.raises(IntegrityError, match="processor_sha256: trained with"):
        models.attach(other, adapter)


def test_an_adapter_without_its_record_is_refused(adapter, folder):
    (adapter / "finetune.json").unlink()
    with pytest.raises(IntegrityError, match=r"has no finetune.json"):
        models.attach(models.load(config(folder)), adapter)


def test_an_adapter_with_code_is_refused(adapter, folder):
    change(adapter / "adapter_config.json", auto_map={"x": "y"})
    with pytest.raises(ConfigError, match="asks for code of its own"):
        models.attach(models.load(config(folder)), adapter)


@pytest.mark.parametrize(
    ("architecture", "family"),
    [("CogVLMForCausalLM", "glm4v"), ("InternVLChatModel", "internvl"), ("Phi4MMForCausalLM", "phi4_multimodal")],
)
def test_weights_with_code_of_their_own_name_what_can_be_used(copied, architecture, family):
    change(copied / "config.json", architectures=[architecture], auto_map={"AutoModel": "modeling_x.X"})
    with pytest.raises(ConfigError, match=rf"{architecture}, which brings its own code.*: model.family={family} with"):
        models.load(config(copied))


FLORENCE = r"Florence-2 is not supported: .* a decoder of its own .* in its place: model.family=paligemma"


@pytest.mark.parametrize("code", [{}, {"auto_map": {"AutoModel": "modeling_florence2.X"}}])
def test_weights_of_florence_name_what_can_be_used(copied, code):
    """Both as they were published, with code, and in the library's own format."""
    change(copied / "config.json", model_type="florence2", architectures=["Florence2ForConditionalGeneration"], **code)
    with pytest.raises(ConfigError, match=rf"config\.json: {FLORENCE}"):
        models.load(config(copied))


def test_what_is_offered_instead_exists():
    for reason in families.REFUSED.values():
        assert all(families.load(name) for name in re.findall(r"model\.family=(\w+)", reason))
        assert set(re.findall(r"model=(\w+)", reason)) <= set(compose.groups()["model"])


def test_families_that_share_a_model_type_are_told_apart_by_their_tower(copied):
    assert (families.serving("llava", "pixtral"), families.serving("llava", "clip_vision_model")) == (
        "pixtral",
        "llava",
    )
    change(copied / "config.json", model_type="llava", vision_config={"model_type": "pixtral"})
    with pytest.raises(ConfigError, match=r"model_type 'llava' with the tower 'pixtral': use model.family=pixtral"):
        models.load(config(copied, family="llava"))
