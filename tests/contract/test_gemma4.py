"""Gemma 4 beyond the contract: its sizes differ in parts, and its prompts in how they end."""

from dataclasses import replace
from importlib import resources

import pytest
import torch
from architectures import others, sizes
from training import micro

from finetune.config.schema import Config, HardwareConfig, MethodConfig, ModelConfig, TargetsConfig
from finetune.errors import DataError
from finetune.models import load as models
from finetune.models.encoding import Encoder
from finetune.models.quantisation import four_bit_modules
from finetune.training import lora
from finetune.training.loss import answer_loss

pytestmark = pytest.mark.families

PARTS = ("vision_tower", "projector", "language_model")
SMALL = {"use_bidirectional_attention": None, "attention_k_eq_v": False}
EXPERTS = {"enable_moe_block": True, "num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 16}
EXPERTS |= {"hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0, "use_double_wide_mlp": False}


@pytest.fixture
def load(tmp_path):
    """(settings of the language model, audio or not, method...) -> the model and its config."""

    def fresh(text, audio=True, **method):
        model, processor = others.gemma4(**text)
        sizes.save(tmp_path / "model", sizes.redraw(model if audio else deaf(model)), processor)
        config = Config(
            model=ModelConfig(family="gemma4", path=str(tmp_path / "model")),
            method=MethodConfig(rank=2, **method),
            hardware=HardwareConfig(device="cpu"),
        )
        return models.load(config), config

    return fresh


def deaf(model):
    """As the large sizes come: no audio encoder."""
    config = model.config.to_dict() | {"audio_config": None}
    found = type(model)(type(model.config).from_dict(config))
    found.generation_config.eos_token_id = model.generation_config.eos_token_id
    return found


def batch_for(loaded):
    encoder = Encoder(loaded.processor, loaded.family)
    return encoder.supervised([micro.example(0), micro.example(1, "yes")], [[micro.picture(0)], [micro.picture(1)]])


def test_the_language_model_attends_fused_and_the_audio_encoder_by_itself(load):
    model = load({})[0].model
    told = {part: getattr(model.config, part)._attn_implementation for part in ("text_config", "vision_config")}
    assert told == {"text_config": "sdpa", "vision_config": "sdpa"}
    assert model.config.audio_config._attn_implementation == "eager"


@pytest.mark.parametrize("text", [{}, SMALL])
def test_image_tokens_see_each_other_where_the_checkpoint_says_so(load, text):
    """Without their types the large sizes would compute something else, silently; the small ones do not ask."""
    loaded = load(text)[0]
    batch = batch_for(loaded)
    batch.pop("labels")
    with torch.no_grad():
        told, untold = (loaded.model(**{**batch, **more}).logits for more in ({}, {"mm_token_type_ids": None}))
    assert ((told - untold).abs().max() > 1e-3) == bool(not text)


def test_a_processor_that_gives_no_types_is_refused(load, monkeypatch):
    loaded = load({})[0]
    monkeypatch.setattr(type(loaded.processor), "return_mm_token_type_ids", False)
    with pytest.raises(DataError, match=r"the processor of gemma4 gave no mm_token_type_ids"):
        batch_for(loaded)


@pytest.mark.parametrize("part", ["vision_tower", "projector"])
@pytest.mark.parametrize("target", ["all", "full"])
def test_audio_is_left_alone(load, part, target):
    loaded, config = load({})
    method = replace(config.method, targets=TargetsConfig(**{**dict.fromkeys(PARTS, "none"), part: target}))
    names = [name for name, _ in lora.trainable(lora.adapt(loaded, replace(config, method=method)))]
    assert names
    assert not any("audio" in name for name in names)


def test_sizes_without_audio_load_and_learn(load):
    loaded, config = load(SMALL, audio=False)
    assert not any("audio" in name for name, _ in loaded.model.named_modules() if "." in name)
    answer_loss(lora.adapt(loaded, config), batch_for(loaded), 1).backward()


@pytest.mark.parametrize("quantise", ["none", "nf4"])
def test_experts_and_their_router_are_left_alone(load, quantise):
    loaded, config = load(EXPERTS, audio=False, quantise=quantise)
    model = lora.adapt(loaded, config)
    answer_loss(model, batch_for(loaded), 1).backward()
    grown = [name for name, value in lora.trainable(model) if value.grad is not None and "lora_B" in name]
    assert any(".mlp.down_proj." in name for name in grown)
    assert not any(part in name for name, _ in lora.trainable(model) for part in (".router.", ".experts."))
    assert not any(part in name for name in four_bit_modules(loaded.model) for part in (".router.", ".experts"))
    assert bool(list(four_bit_modules(loaded.model))) == (quantise == "nf4")


TEMPLATES = ["", "_v2", "_v3", "_v4", "_v5"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_published_templates_write_what_is_trained(load, template):
    """They trim an answer and take thinking out of it; written behind the prompt instead, it is the same text."""
    loaded = load(SMALL)[0]
    file = resources.files("trl") / "chat_templates" / f"gemma4{template}.jinja"
    loaded.processor.chat_template = file.read_text(encoding="utf-8")
    encoder = Encoder(loaded.processor, loaded.family)
    example = micro.example(0, " no defect ")
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": example.messages[-1].text}]}]
    whole = [*asked, {"role": "assistant", "content": [{"type": "text", "text": "no defect"}]}]
    assert encoder.full(example) + "\n" == loaded.processor.apply_chat_template(whole, tokenize=False)
    thinking = micro.example(0, "<|channel>thought\nhm<channel|>no defect")
    assert encoder.unescape(encoder.full(thinking)).endswith("<|channel>thought\nhm<channel|>no defect<turn|>")
