"""Fused layers: forward the library's bits (LoRA: its values), backward what autograd would give, in fewer steps."""

import pytest
import torch
from torch import nn
from training import micro, micro_run
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.glm4 import modeling_glm4
from transformers.models.gpt_oss import modeling_gpt_oss
from transformers.models.llama import modeling_llama
from transformers.models.llama.modeling_llama import LlamaConfig, LlamaRMSNorm
from transformers.models.qwen3_5 import modeling_qwen3_5
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5RMSNormGated

from finetune.config.schema import Config, MethodConfig, TargetsConfig
from finetune.models.encoding import Encoder
from finetune.pipeline import train as stage
from finetune.rundir import RunDir
from finetune.training import fit as part
from finetune.training import fused, lora, trainer
from finetune.training.fused import fuse, fuse_lora, fuse_norms, fused_rotary
from finetune.training.loss import answer_loss


def adapted(loaded, **method):
    wanted = MethodConfig(rank=2, alpha=6, targets=TargetsConfig("attention", "none", "all"), **method)
    model = lora.adapt(loaded, Config(method=wanted)).train()
    for name, value in lora.trainable(model):
        if "lora_B" in name:  # as it comes, B is zero, and so is the gradient of A
            nn.init.normal_(value, std=0.05)
    return model


def loss_of(model, loaded):
    encoder = Encoder(loaded.processor, loaded.family)
    examples, pictures = [micro.example(0), micro.example(1, "dent")], [[micro.picture(0)], [micro.picture(1)]]
    return answer_loss(model, encoder.supervised(examples, pictures), 1)


def learnt(model, loaded):
    model.zero_grad()
    loss = loss_of(model, loaded)
    loss.backward()
    return loss.detach(), {name: value.grad for name, value in lora.trainable(model)}


def ways(model):
    return {type(module.forward).__name__ for module in model.modules() if hasattr(module, "lora_A")}


@pytest.mark.parametrize("variant", ["lora", "rslora"])
def test_fuse_lora_the_same_is_learnt(loaded, variant):
    model = adapted(loaded, variant=variant)
    loss, gradients = learnt(model, loaded)
    fuse_lora(model)
    assert ways(model) == {"_Lora"}
    again, same = learnt(model, loaded)
    torch.testing.assert_close(again, loss, rtol=1e-6, atol=0)
    for name, value in gradients.items():
        torch.testing.assert_close(same[name], value, rtol=1e-4, atol=1e-5 * float(value.abs().max()))


def test_fuse_lora_an_adapter_can_still_be_left_out_and_merged(loaded):
    model = adapted(loaded)
    with model.disable_adapter():
        base = loss_of(model, loaded)
    own = loss_of(model, loaded)
    fuse_lora(model)
    with model.disable_adapter():
        assert torch.equal(loss_of(model, loaded), base)
    assert abs(own - base) > 1e-3
    model.merge_adapter()
    torch.testing.assert_close(loss_of(model, loaded), own, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", [{"dropout": 0.1}, {"variant": "dora"}])
def test_layers_with_more_to_do_keep_the_forward_of_the_library(loaded, method):
    model = adapted(loaded, **method)
    fuse_lora(model)
    assert ways(model) == {"method"}


def test_weights_of_lower_precision_keep_it_too(loaded):
    model = adapted(loaded)
    for module in model.modules():
        if hasattr(module, "lora_A"):
            module.base_layer.bfloat16()
    fuse_lora(model)
    assert ways(model) == {"method"}


@pytest.mark.parametrize(("world", "way"), [(1, "_Lora"), (2, "method")])
def test_a_training_of_one_process_takes_the_short_way(loaded, tmp_path, monkeypatch, world, way):
    """Of several, DeepSpeed may divide the weights, and must be asked for them through their own modules."""
    monkeypatch.setattr(part.ranks, "world", lambda: world)
    wanted = Config(method=MethodConfig(rank=2, targets=TargetsConfig("none", "none", "all")))
    run = RunDir(tmp_path)
    model = part._adapted(wanted, run, run.parts(0)[0], loaded)
    # the last layer's output projection runs at labels alone, by whichever way
    assert ways(model) - {"_AtPositions"} == {way}
    norms = {type(module.forward).__name__ for module in model.modules() if isinstance(module, LlamaRMSNorm)}
    assert norms == {{"_Lora": "_Norm"}.get(way, way)}


def norm(kind=LlamaRMSNorm, width=6):
    made = kind(width, eps=1e-5).requires_grad_(False)
    nn.init.normal_(made.weight, generator=torch.Generator().manual_seed(0))
    return made


def values(*shape, dtype=torch.float32, seed=1):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def test_a_norm_gives_the_bits_of_the_library_and_its_gradient():
    library, ours = norm(), norm()
    fuse_norms(ours)
    assert type(ours.forward).__name__ == "_Norm"
    given = [(3 * values(2, 5, 6)).requires_grad_() for _ in range(2)]
    outputs = [module(value) for module, value in zip((library, ours), given, strict=True)]
    assert torch.equal(*outputs)
    for output in outputs:
        output.backward(values(2, 5, 6, seed=2))
    torch.testing.assert_close(given[1].grad, given[0].grad, rtol=1e-5, atol=1e-6)


def test_the_gradient_of_a_norm_is_that_of_small_differences():
    value = values(2, 4, dtype=torch.float64).requires_grad_()
    weight = values(4, dtype=torch.float64, seed=2)
    assert torch.autograd.gradcheck(lambda hidden: fused._RootMeanSquare.apply(hidden, weight, 1e-5), value)


def test_a_norm_of_another_form_keeps_its_forward():
    """Gemma multiplies by 1 + weight; a layer norm takes the mean away; one of Qwen3.5's takes a gate."""
    gemma, mean, gated = norm(Gemma3RMSNorm), nn.LayerNorm(6), norm(Qwen3_5RMSNormGated)
    gemma.variance_epsilon = mean.variance_epsilon = 1e-5  # the name alone does not make them Llama's
    whole = nn.Sequential(gemma, mean, gated)
    fuse_norms(whole)
    assert not any("forward" in vars(module) for module in whole)


def test_a_norm_of_a_form_that_is_not_known_does_not_end_a_training():
    class Unpacking(LlamaRMSNorm):
        def forward(self, hidden_states):
            _batch, _tokens, _width = hidden_states.shape
            return super().forward(hidden_states)

    whole = nn.Sequential(norm(Unpacking))
    fuse_norms(whole)
    assert "forward" not in vars(whole[0])


def test_a_norm_is_exchanged_once_and_called_by_the_name_of_the_library():
    ours = norm()
    fuse_norms(ours)
    first = ours.forward
    fuse_norms(ours)
    assert ours.forward is first
    assert torch.equal(ours(hidden_states=values(2, 6)), norm()(values(2, 6)))


def test_a_norm_that_learns_or_gets_another_precision_is_the_library_s():
    ours = norm()
    fuse_norms(ours)
    assert torch.equal(ours(values(2, 6).bfloat16()), norm()(values(2, 6).bfloat16()))
    ours.weight.requires_grad_(True)
    ours(values(2, 6)).sum().backward()
    assert ours.weight.grad.abs().min() > 0
    low = norm().bfloat16()
    fuse_norms(low)
    assert "forward" not in vars(low)


def turned(value, angles):
    """By complex numbers: (a + bi) e^(i angle), a and b being the halves of the last dimension."""
    first, second = value.double().chunk(2, dim=-1)
    result = torch.complex(first, second) * torch.polar(torch.ones_like(angles), angles).unsqueeze(1)
    return torch.cat((result.real, result.imag), dim=-1)


def rotation(batch=2, tokens=3, width=8):
    angles = 4 * values(batch, tokens, width // 2, dtype=torch.float64)
    both = torch.cat((angles, angles), dim=-1).float()
    return angles, both.cos(), both.sin()


def attention():
    config = LlamaConfig(hidden_size=16, num_attention_heads=2, num_key_value_heads=1, head_dim=8)
    return modeling_llama.LlamaAttention(config, 0)


def test_queries_and_keys_are_turned_as_complex_numbers_are():
    angles, cosine, sine = rotation()
    queries, keys = values(2, 3, 2, 8).transpose(1, 2), values(2, 3, 1, 8, seed=2).transpose(1, 2)
    library = modeling_llama.apply_rotary_pos_emb
    with fused_rotary(attention()):
        ours = modeling_llama.apply_rotary_pos_emb
        assert type(ours).__name__ == "_Rotation"
        found = ours(queries, keys, cosine, sine)
    for got, same, given in zip(found, library(queries, keys, cosine, sine), (queries, keys), strict=True):
        assert torch.equal(got, same)
        torch.testing.assert_close(got.double(), turned(given, angles), rtol=1e-5, atol=1e-5)


def test_the_gradient_of_a_turn_is_that_of_small_differences():
    cosine, sine = (values(2, 1, 3, 8, dtype=torch.float64, seed=seed) for seed in (3, 4))  # also where halves differ
    value = values(2, 2, 3, 8, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda given: fused._Turn.apply(given, cosine, sine), value)


def interrupted(home):
    """Whether the library's function stood in its place during a training that was broken off."""
    library = home.apply_rotary_pos_emb
    layer = type("Layer", (nn.Module,), {"__module__": home.__name__})()
    try:
        with fused_rotary(layer):
            kept = home.apply_rotary_pos_emb is library
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert home.apply_rotary_pos_emb is library
    return kept


def test_a_file_of_the_library_is_left_as_it_was_found():
    """GLM turns neighbours and not halves, gpt-oss takes half as many cosines: theirs are not exchanged."""
    assert [interrupted(home) for home in (modeling_llama, modeling_glm4, modeling_gpt_oss)] == [False, True, True]


def like_the_library(given, **named):
    library = modeling_llama.apply_rotary_pos_emb
    with fused_rotary(attention()):
        ours = modeling_llama.apply_rotary_pos_emb
        pairs = list(zip(ours(*given, **named), library(*given, **named), strict=True))
    return all(one.dtype == other.dtype and torch.equal(one, other) for one, other in pairs)


def test_what_a_turn_was_not_made_for_goes_to_the_library():
    _, cosine, sine = rotation()
    queries, keys = values(2, 2, 3, 8), values(2, 1, 3, 8)
    last = (queries.transpose(1, 2), keys.transpose(1, 2))
    assert like_the_library([value.bfloat16() for value in (queries, keys, cosine, sine)])
    assert like_the_library((queries, keys, cosine.double(), sine.double()))
    assert like_the_library((queries, keys.double(), cosine, sine))
    assert like_the_library((*last, cosine, sine, 2))
    assert like_the_library((*last, cosine, sine), unsqueeze_dim=2)
    assert like_the_library((queries, keys, cosine[:1], sine[:1]))  # one for the whole batch, as is usual


def test_heads_that_are_turned_in_part_go_to_the_library():
    _, cosine, sine = rotation()
    library = modeling_qwen3_5.apply_rotary_pos_emb
    given = values(2, 2, 3, 16), values(2, 1, 3, 16, seed=2), cosine, sine
    with fused_rotary(type("Layer", (nn.Module,), {"__module__": modeling_qwen3_5.__name__})()):
        assert type(modeling_qwen3_5.apply_rotary_pos_emb).__name__ == "_Rotation"
        found = modeling_qwen3_5.apply_rotary_pos_emb(*given)
    assert all(map(torch.equal, found, library(*given)))


def test_a_training_within_a_training_leaves_the_library_as_it_was():
    library = modeling_llama.apply_rotary_pos_emb
    with fused_rotary(attention()):
        outer = modeling_llama.apply_rotary_pos_emb
        with fused_rotary(attention()):
            assert modeling_llama.apply_rotary_pos_emb is outer
        assert modeling_llama.apply_rotary_pos_emb is outer
    assert modeling_llama.apply_rotary_pos_emb is library


def test_all_of_it_together_learns_the_same(loaded):
    model = adapted(loaded)
    loss, gradients = learnt(model, loaded)
    fuse(model)
    with fused_rotary(model):
        again, same = learnt(model, loaded)
    torch.testing.assert_close(again, loss, rtol=1e-6, atol=0)
    for name, value in gradients.items():
        torch.testing.assert_close(same[name], value, rtol=1e-4, atol=1e-5 * float(value.abs().max()))


def test_a_training_takes_it_and_leaves_the_library_as_it_was(tmp_path, micro_model, monkeypatch):
    seen = []

    def noted(*given):
        seen.append(type(modeling_llama.apply_rotary_pos_emb).__name__)
        return answer_loss(*given)

    monkeypatch.setattr(trainer, "answer_loss", noted)
    config = micro_run.config(micro_model, epochs=1.0, accumulate=1, batch_size=1, validate="never")
    stage.run(config, micro_run.prepare(tmp_path, train=2, val=2))
    assert seen == ["_Rotation", "_Rotation"]
    assert type(modeling_llama.apply_rotary_pos_emb).__name__ == "function"
