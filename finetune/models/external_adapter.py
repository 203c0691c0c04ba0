"""Adapters that another tool trained (PEFT's own, ms-swift, LLaMA-Factory): fitted by key and shape, or refused.

PEFT loads what fits and leaves the rest at its initial value with a warning; such a model answers like its base. Here
every tensor of the file has to find its place and every place its tensor.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune.errors import ConfigError, IntegrityError
from finetune.models import load as models
from finetune.models import weight_files
from finetune.models.load import Loaded
from finetune.rundir import Json, read_json

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from torch import Tensor

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

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

_SHOWN = 3


def attach(loaded: Loaded, folder: Path) -> tuple["PeftModel", str]:
    """Puts an adapter on its base, whoever trained it.

    Returns:
        the model, and `verified` where the adapter's record names these base weights, else `unverified`: key and shape
        fit, but nothing says that it was trained on them.

    Raises:
        ConfigError: there is no adapter, or one of a kind that is not read.
        IntegrityError: it does not fit this model; names what is left over, missing or of another shape.
    """
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
        _check(folder, given, expected)
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
    bare = name.removeprefix("base_model.model.").replace(".default.", ".")
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

    settings: Json = read_json(folder / CONFIG)
    kind = settings.get("peft_type")
    if kind != "LORA":
        raise ConfigError(
            f"{folder / CONFIG}: peft_type is {kind!r}; only LORA is read (DoRA and rsLoRA are kinds of it)."
        )
    fields = {entry.name for entry in dataclasses.fields(LoraConfig)} - {"auto_mapping", "peft_version"}
    known = {*fields, "auto_mapping", "peft_version"}
    unread = [name for name, value in settings.items() if name not in known and value not in (None, False, [], {})]
    if unread:
        raise ConfigError(
            f"{folder / CONFIG}: {', '.join(sorted(unread))} set by another PEFT than this one; merge the adapter with "
            "the tool that trained it, or save it with that PEFT's defaults."
        )
    bare = {name.removeprefix("base_model.model."): tensor for name, tensor in given.items()}
    adapted = sorted({_module(name) for name in bare if ".lora_" in name})
    whole = sorted({_module(name) for name in bare if ".lora_" not in name})
    kept: dict[str, Any] = {name: value for name, value in settings.items() if name in fields}
    kept |= {"target_modules": adapted, "modules_to_save": whole or None, "exclude_modules": None}
    kept |= {"layers_to_transform": None, "layers_pattern": None, "base_model_name_or_path": None}
    kept |= {"inference_mode": True, "init_lora_weights": True, "task_type": None}
    if not adapted:
        raise ConfigError(f"{folder / WEIGHTS} holds no LoRA matrices; expected names that end in lora_A.weight.")
    return LoraConfig(**kept)


def _check(folder: Path, given: dict[str, "Tensor"], expected: dict[str, "Tensor"]) -> None:
    """Compares names and shapes, both ways.

    Raises:
        IntegrityError: names what differs.
    """
    problems = [
        f"{len(names)} tensors {what}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
        for what, names in (
            ("have no place in this model", sorted(set(given) - set(expected))),
            ("are missing in the file", sorted(set(expected) - set(given))),
        )
        if names
    ]
    problems += [
        f"{name} has shape {list(given[name].shape)}, expected {list(expected[name].shape)}"
        for name in sorted(set(given) & set(expected))
        if given[name].shape != expected[name].shape
    ][:_SHOWN]
    if problems:
        raise IntegrityError(
            f"{folder} does not fit this model: {'; '.join(problems)}. It was trained on another base; name that one "
            "with model.path or model.id."
        )
