"""Adapters of other tools: PEFT's own layout and the names that others write, fitted whole or refused."""

import json
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from training import micro

from finetune.config.schema import Config, ModelConfig
from finetune.errors import ConfigError, IntegrityError
from finetune.models import external_adapter
from finetune.models import load as models
from finetune.models.encoding import Encoder

WITHIN = r".*text_model.*(q_proj|down_proj)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return micro.save(tmp_path_factory.mktemp("base"))


def base(folder):
    return models.load(replace(Config(), model=ModelConfig(path=str(folder))))


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """An adapter as PEFT writes it, DoRA and a whole module included, and the logits of the model that it came from."""
    torch.manual_seed(3)
    loaded = base(folder)
    settings = LoraConfig(r=4, lora_alpha=8, use_dora=True, target_modules=WITHIN, modules_to_save=["connector"])
    with models.known_warnings():
        model = get_peft_model(loaded.model, settings)
    for name, weight in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            torch.nn.init.normal_(weight, std=0.2)
    place = tmp_path_factory.mktemp("peft")
    model.eval().save_pretrained(place)
    return place, logits(replace(loaded, model=model))


def logits(loaded):
    batch = Encoder(loaded.processor, loaded.family).prompts([micro.example(0)], [[micro.picture(3)]])
    with torch.no_grad():
        return loaded.model(**batch).logits


def rewritten(place, target, rename=lambda name: name, drop=(), **settings):
    """A copy of an adapter with other names, without some tensors, with other settings."""
    target.mkdir()
    tensors = load_file(place / "adapter_model.safetensors")
    kept = {rename(name): tensor.contiguous() for name, tensor in tensors.items() if name not in drop}
    save_file(kept, target / "adapter_model.safetensors")
    config = json.loads((place / "adapter_config.json").read_text(encoding="utf-8"))
    (target / "adapter_config.json").write_text(json.dumps(config | settings), encoding="utf-8")
    return target


def test_as_peft_writes_it(folder, trained):
    place, expected = trained
    loaded = base(folder)
    model, known = external_adapter.attach(loaded, place)
    assert known == "unverified"
    torch.testing.assert_close(logits(replace(loaded, model=model)), expected, atol=1e-5, rtol=0)
    assert not any(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.removeprefix("base_model.model."),  # as some ZeRO-3 gatherings leave it
        lambda name: name.replace(".lora_A.weight", ".lora_A.default.weight"),
    ],
)
def test_as_others_name_it(folder, trained, tmp_path, rename):
    """And with a pattern of target modules that matches nothing here, as ms-swift's is written for its own names."""
    place, expected = trained
    foreign = rewritten(place, tmp_path / "x", rename, target_modules=r"^(language_model).*\.(q_proj|down_proj)$")
    loaded = base(folder)
    model, _ = external_adapter.attach(loaded, foreign)
    torch.testing.assert_close(logits(replace(loaded, model=model)), expected, atol=1e-5, rtol=0)


def test_names_before_the_renaming_of_transformers():
    modules = {"model.language_model.layers.0.mlp.up_proj", "model.visual.blocks.0.attn.qkv", "lm_head"}
    found = [
        external_adapter._place(f"base_model.model.{name}.lora_A.weight", modules)
        for name in (
            "model.layers.0.mlp.up_proj",
            "language_model.model.layers.0.mlp.up_proj",
            "visual.blocks.0.attn.qkv",
        )
    ]
    assert found == [
        "base_model.model.model.language_model.layers.0.mlp.up_proj.lora_A.weight",
        "base_model.model.model.language_model.layers.0.mlp.up_proj.lora_A.weight",
        "base_model.model.model.visual.blocks.0.attn.qkv.lora_A.weight",
    ]


def test_a_record_of_ours_is_held_to(folder, trained, tmp_path):
    place, _ = trained
    ours = rewritten(place, tmp_path / "ours")
    record = models.record(base(folder))
    (ours / models.RECORD).write_text(json.dumps(record), encoding="utf-8")
    assert external_adapter.attach(base(folder), ours)[1] == "verified"
    (ours / models.RECORD).write_text(json.dumps(record | {"base_sha256": "0" * 64}), encoding="utf-8")
    with pytest.raises(IntegrityError, match="does not belong to"):
        external_adapter.attach(base(folder), ours)


FIRST = "base_model.model.model.text_model.layers.0.mlp.down_proj.lora_A.weight"


def test_every_place_has_its_tensor(folder, trained, tmp_path):
    foreign = rewritten(trained[0], tmp_path / "x", drop=(FIRST,))
    with pytest.raises(IntegrityError, match=rf"1 tensors are missing in the file: {FIRST}.*trained on another base"):
        external_adapter.attach(base(folder), foreign)


def test_every_tensor_has_its_place(folder, trained, tmp_path):
    foreign = rewritten(trained[0], tmp_path / "x", lambda name: name.replace("layers.1", "layers.7"))
    with pytest.raises((IntegrityError, ConfigError), match=r"layers\.7"):
        external_adapter.attach(base(folder), foreign)


def test_every_shape_fits(folder, trained, tmp_path):
    foreign = rewritten(trained[0], tmp_path / "x")
    tensors = load_file(foreign / "adapter_model.safetensors")
    tensors[FIRST] = tensors[FIRST][:, :-1].contiguous()
    save_file(tensors, foreign / "adapter_model.safetensors")
    with pytest.raises(IntegrityError, match=r"down_proj\.lora_A\.weight has shape \[4, 47\], expected \[4, 48\]"):
        external_adapter.attach(base(folder), foreign)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'; only LORA is read"),
        ({"use_qalora_next": True}, "use_qalora_next set by another PEFT"),
    ],
)
def test_settings_that_are_not_read(folder, trained, tmp_path, settings, message):
    foreign = rewritten(trained[0], tmp_path / "x", **settings)
    with pytest.raises(ConfigError, match=message):
        external_adapter.attach(base(folder), foreign)


def test_no_adapter(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"holds no adapter_config\.json"):
        external_adapter.attach(base(folder), tmp_path)
