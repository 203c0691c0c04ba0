"""The files of an adapter: settings that are data alone, and tensors that all found their place."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from finetune.errors import ConfigError, IntegrityError
from finetune.rundir import Json, RunDir, read_json, sha256_file

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

SETTINGS = frozenset(
    [
        "peft_type",
        "task_type",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
        "r",
        "lora_alpha",
        "lora_dropout",
        "target_modules",
        "exclude_modules",
        "fan_in_fan_out",
        "bias",
        "use_rslora",
        "modules_to_save",
        "init_lora_weights",
        "layers_to_transform",
        "layers_pattern",
        "rank_pattern",
        "alpha_pattern",
        "use_dora",
        "lora_bias",
        "target_parameters",
        "ensure_weight_tying",
        "trainable_token_indices",
    ]
)
"""Settings of PEFT's LoRA that are read; every other has to have PEFT's own value.

`megatron_core`, for one, names a module that PEFT imports.
"""

NOTES = frozenset({"auto_mapping", "peft_version", "runtime_config"})
"""Settings that PEFT writes and that change no answer; they are not passed on."""

CHANGES_BASE = ("pissa", "olora", "corda", "loftq")
"""Initialisations after which the adapter belongs to changed base weights, which its file lacks."""

_SHOWN = 3


def check_settings(folder: Path) -> Json:
    """Reads adapter_config.json and returns the settings of `SETTINGS` in it.

    Raises:
        ConfigError: it is not a LoRA, sets what is not read, or belongs to changed base weights.
    """
    from peft import LoraConfig

    file = folder / CONFIG
    settings: Json = read_json(file)
    kind = settings.get("peft_type")
    if kind != "LORA":
        raise ConfigError(f"{file}: peft_type is {kind!r}; only LORA is read (DoRA and rsLoRA are kinds of it).")
    usual = dataclasses.asdict(LoraConfig())
    unread = [
        name
        for name, value in settings.items()
        if name not in SETTINGS | NOTES
        and value not in (None, False, [], {})
        and not (name in usual and usual[name] == value)
    ]
    if unread:
        raise ConfigError(
            f"{file}: {', '.join(sorted(unread))} set by another PEFT than this one; merge the adapter "
            "with the tool that trained it, or save it with that PEFT's defaults."
        )
    started = settings.get("init_lora_weights")
    if isinstance(started, str) and started.lower().startswith(CHANGES_BASE):
        raise ConfigError(
            f"{file}: init_lora_weights={started!r} changed the base weights before training, so on "
            "the original ones it answers wrongly. Convert it where it was trained: "
            "model.save_pretrained(FOLDER, path_initial_model_for_weight_conversion=INITIAL), which "
            "writes an ordinary LoRA."
        )
    return {name: value for name, value in settings.items() if name in SETTINGS}


def check_tensors(folder: Path, given: Mapping[str, "Tensor"], expected: Mapping[str, "Tensor"]) -> None:
    """Compares names and shapes, both ways.

    Raises:
        IntegrityError: names what differs.
    """
    problems = [
        f"{len(names)} tensors {what}: {', '.join(names[:_SHOWN])}{', ...' * (len(names) > _SHOWN)}"
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
            f"{folder} does not fit this model: {'; '.join(problems)}. It was trained on another base; "
            "name that one with model.path or model.id."
        )


def check_record(folder: Path) -> None:
    """Compares the files of an adapter that lies in a run with the run's record, before anything is loaded.

    An adapter outside of a run, or of a run that recorded none, has nothing to be compared with.

    Raises:
        IntegrityError: a file was changed, is gone or was added after it was recorded.
    """
    place = folder.resolve()
    for top in place.parents:
        run = RunDir(top)
        if run.audit_file.is_file():
            break
    else:
        return
    prefix = f"{place.relative_to(top).as_posix()}/"
    recorded = {name: digest for name, digest in run.audit().items() if name.startswith(prefix)}
    if not recorded:
        return
    present = {path.relative_to(top).as_posix(): sha256_file(path) for path in place.rglob("*") if path.is_file()}
    differ = [n for n in sorted({*recorded, *present}) if recorded.get(n) != present.get(n)]
    if differ:
        raise IntegrityError(
            f"{top}: {', '.join(differ[:_SHOWN])} differs from the record of the run "
            f"({run.audit_file.name}); train again, or restore the file."
        )
