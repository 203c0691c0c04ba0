"""Adapters that another tool trained (PEFT's own, ms-swift, LLaMA-Factory): fitted by key and shape, or refused.

PEFT loads what fits and leaves the rest at its initial value with a warning; such a model answers like its base. Here
every tensor of the file has to find its place and every place its tensor.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune.errors import ConfigError, IntegrityError
from finetune.models import adapter_files, weight_files
from finetune.models import load as models
from finetune.models.adapter_files import CONFIG as CONFIG
from finetune.models.adapter_files import WEIGHTS as WEIGHTS
from finetune.models.load import Loaded

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from torch import Tensor

RENAMED = (
    ("language_model.model.", "model.language_model."),
    ("language_model.lm_head.", "lm_head."),
    ("vision_tower.", "model.vision_tower."),
    ("multi_modal_projector.", "model.multi_modal_projector."),
    ("visual.", "model.visual."),
    ("model.layers.", "model.language_model.layers."),
    ("model.embed_tokens.", "model.language_model.embed_tokens."),
)
"""Module names before transformers 4.52 and since; the same renaming that transformers applies to old base weights."""

WRAPPERS = re.compile(r"\b_orig_mod\.|\b_fsdp_wrapped_module\.|^module\.")
"""What torch.compile, FSDP and DDP put before the names of the modules that they wrap."""


def attach(loaded: Loaded, folder: Path) -> tuple["PeftModel", str]:
    """Puts an adapter on its base, whoever trained it.

    Returns:
        the model, and `verified` where the adapter's record names these base weights, else `unverified`: key and shape
        fit, but nothing says that it was trained on them.

    Raises:
        ConfigError: there is no adapter, or one of a kind that is not read.
        IntegrityError: it does not fit this model; names what is left over, missing or of another shape.
    """
    adapter_files.check_record(folder)
    if (folder / models.RECORD).is_file():
        return models.attach(loaded, folder), "verified"
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ConfigError(f"{folder} holds no {name}; expected the folder of a PEFT adapter (model.adapter).")
    weight_files.refuse_code(folder)
    return _fitted(loaded, folder), "unverified"


def _fitted(loaded: Loaded, folder: Path) -> "PeftModel":
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    modules = {name for name, _ in loaded.model.named_modules()}
    given = {_place(name, modules): tensor for name, tensor in load_file(folder / WEIGHTS).items()}
    settings = _lora(folder, given)
    with models.known_warnings():
        model = get_peft_model(loaded.model, settings)
        expected = get_peft_model_state_dict(model, save_embedding_layers=False)
        adapter_files.check_tensors(folder, given, expected)
        set_peft_model_state_dict(model, given)
    model.requires_grad_(False)
    model.eval()
    arrived = get_peft_model_state_dict(model, save_embedding_layers=False)
    lost = [name for name, tensor in given.items() if not bool((arrived[name].cpu().to(tensor.dtype) == tensor).all())]
    if lost:
        raise IntegrityError(f"{folder}: {len(lost)} tensors did not arrive in the model, the first is {lost[0]}.")
    return model


def _place(name: str, modules: set[str]) -> str:
    """Name of a tensor as PEFT writes it for this model, where its module is known under an older or shorter name."""
    bare = WRAPPERS.sub("", name).removeprefix("base_model.model.").replace(".default.", ".")
    bare = WRAPPERS.sub("", bare)
    for old, new in (("", ""), *RENAMED):
        candidate = new + bare.removeprefix(old) if bare.startswith(old) else bare
        if _module(candidate) in modules:
            return f"base_model.model.{candidate}"
    return f"base_model.model.{bare}"


def _module(name: str) -> str:
    """The module that a tensor of an adapter belongs to."""
    for leaf in (".lora_", ".modules_to_save."):
        name = name.partition(leaf)[0]
    return name.removesuffix(".weight").removesuffix(".bias")


def _lora(folder: Path, given: dict[str, "Tensor"]) -> "LoraConfig":
    """The settings, with the modules that the tensors name: a pattern may be written for other module names.

    Raises:
        ConfigError: the adapter is no LoRA, or its settings are of a PEFT that this one does not know.
    """
    from peft import LoraConfig

    settings = adapter_files.check_settings(folder)
    bare = {name.removeprefix("base_model.model."): tensor for name, tensor in given.items()}
    adapted = sorted({_module(name) for name in bare if ".lora_" in name})
    whole = sorted({_module(name) for name in bare if ".lora_" not in name})
    kept: dict[str, Any] = dict(settings)
    kept |= {"target_modules": adapted, "modules_to_save": whole or None, "exclude_modules": None}
    kept |= {"layers_to_transform": None, "layers_pattern": None, "base_model_name_or_path": None}
    kept |= {"inference_mode": True, "init_lora_weights": True, "task_type": None}
    if not adapted:
        raise ConfigError(f"{folder / WEIGHTS} holds no LoRA matrices; expected names that end in lora_A.weight.")
    return LoraConfig(**kept)
