"""Puts LoRA where the config says, by component, and trains whole components where it says `full`."""

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from finetune.config.schema import Config, MethodConfig, Target, TrainConfig
from finetune.errors import ConfigError
from finetune.families._base import COMPONENTS, Family, component_of, roots
from finetune.models import load as models
from finetune.models.load import RECORD, Loaded, record
from finetune.rundir import Json, RunDir, read_json

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel

_ATTENTION = re.compile(r"attn|attention")


def adapt(loaded: Loaded, config: Config) -> "PeftModel":
    """Wraps the base model with what `method` asks for; its initial values depend on the seed alone.

    Parameters that train are fp32, whatever the base is, so that small updates are not rounded away.

    Raises:
        ConfigError: a component has no layer that the target names.
    """
    from peft import get_peft_model
    from transformers import set_seed

    tied = _output_tied_to_input(loaded.model)
    plan = lora_config(loaded.model, loaded.family, config.method, tied=tied)
    names = plan.target_modules
    set_seed(config.seed)
    with models.known_warnings():
        model = get_peft_model(loaded.model, plan)
    plan.target_modules = names  # PEFT shortens 20 names and more to suffixes; the record keeps the full ones
    if tied and config.method.targets.language_model == "full":
        _tie_copies(model)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def lora_config(model: nn.Module, family: Family, method: MethodConfig, *, tied: bool = False) -> "LoraConfig":
    """The PEFT configuration: explicit full module names for LoRA, `modules_to_save` for whole components.

    Bare names such as `q_proj` also live in vision towers, so none is ever used.

    Raises:
        ConfigError: a component has no layer that the target names.
    """
    from peft import LoraConfig
    from peft.utils.constants import DUMMY_TARGET_MODULES

    chosen = {
        "vision_tower": method.targets.vision_tower,
        "projector": method.targets.projector,
        "language_model": method.targets.language_model,
    }
    whole = [name for part, target in chosen.items() if target == "full" for name in _whole(family, part, model)]
    if chosen["language_model"] == "full" and tied:
        whole += [name for name, _ in roots(family, "head", model)]
    linear = [name for part, target in chosen.items() for name in _linear_layers(model, family, part, target)]
    experts = [name for part, target in chosen.items() if target == "all" for name in _experts(model, family, part)]
    if experts and method.dropout:
        raise ConfigError(
            f"method.dropout={method.dropout}: the experts of {family.name} are bare parameters, before which PEFT has "
            "no dropout; use method.dropout=0, or method.targets.language_model=attention, which leaves them alone."
        )
    return LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha,  # type: ignore[arg-type]  # an int by its annotation, a factor by its use
        lora_dropout=method.dropout,
        use_dora=method.variant == "dora",
        use_rslora=method.variant == "rslora",
        # PEFT refuses an empty list, which is right where whole components train and nothing else
        target_modules=linear or DUMMY_TARGET_MODULES,
        modules_to_save=whole or None,
        target_parameters=experts or None,
        task_type=None,
    )


def _whole(family: Family, component: str, model: nn.Module) -> Iterator[str]:
    """Names of the modules that make up a component; a list of modules has no forward to wrap, so its members do.

    What no image reaches (an audio encoder) gets no gradient, and a copy of it would be saved for nothing.
    """
    for name, module in roots(family, component, model):
        if name in family.unused:
            continue
        if isinstance(module, nn.ModuleList):
            yield from (f"{name}.{index}" for index in range(len(module)))
        else:
            yield name


def _linear_layers(model: nn.Module, family: Family, component: str, target: Target) -> list[str]:
    if target in ("none", "full"):
        return []
    found = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and component_of(family, name) == component
        and (target == "all" or _ATTENTION.search(name))
        and not f".{name}".endswith(tuple(f".{skipped}" for skipped in family.linear_skip))
        and not name.startswith(family.unused or ("\0",))
    ]
    if not found:
        raise ConfigError(
            f"method.targets.{component}={target}: the {component} of {family.name} has no such linear layer; "
            "use all, full or none."
        )
    return found


def _experts(model: nn.Module, family: Family, component: str) -> list[str]:
    """Bare parameters of a component that hold experts, `[experts, in, out]`: no linear layer has them."""
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim == 3 and name.endswith(family.experts or ("\0",)) and component_of(family, name) == component
    ]


def _output_tied_to_input(model: Any) -> bool:
    output = model.get_output_embeddings()
    return output is not None and output.weight is model.get_input_embeddings().weight


def _tie_copies(model: Any) -> None:
    """Lets the trained copies of embedding and output layer share one parameter, as the base does.

    PEFT copies each saved module on its own; without this the pair would drift apart, and merging would keep one.
    """
    base = model.get_base_model()
    base.get_output_embeddings().modules_to_save["default"].weight = base.get_input_embeddings().weight


def trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yields (name, parameter) of everything that trains; shared parameters once."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def table(model: nn.Module, family: Family) -> dict[str, Json]:
    """Component -> `modules` that train, `parameters` of the base, `trained` and `quantised` (4-bit) parameters."""
    rows = {part: {"modules": 0, "parameters": 0, "trained": 0, "quantised": 0} for part in COMPONENTS}
    owners: dict[str, set[str]] = {part: set() for part in COMPONENTS}
    for name, parameter in model.named_parameters():
        row = rows[part := component_of(family, name)]
        packed = parameter.dtype == torch.uint8  # two 4-bit values a byte
        count = parameter.numel() * (2 if packed else 1)
        row["quantised"] += count if packed else 0
        if ".lora_" not in name and ".original_module." not in name:
            row["parameters"] += count
        if parameter.requires_grad:
            row["trained"] += count
            owners[part].add(name.partition(".lora_")[0] if ".lora_" in name else name.rpartition(".")[0])
    return {part: {**row, "modules": len(owners[part])} for part, row in rows.items()}


def show(rows: dict[str, Json]) -> None:
    """Prints the table of components to standard error."""
    line = "{:<16}{:>9}{:>14}{:>14}{:>11}"
    print(line.format("component", "modules", "parameters", "trained", "4-bit"), file=sys.stderr)
    for part, row in rows.items():
        counts = (f"{row[key]:,}" for key in ("modules", "parameters", "trained", "quantised"))
        print(line.format(part, *counts), file=sys.stderr)


def parameter_groups(model: nn.Module, family: Family, train: TrainConfig, weight_decay: float) -> list[Json]:
    """Optimiser groups: one a component that trains, with its rate; biases and norms without decay.

    The order is fixed, so that an optimiser's saved state fits again, and ends with the vision tower: the log shows the
    rate of the first group.
    """
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    rates: dict[str, float] = {}
    for name, parameter in trainable(model):
        part, decays = component_of(family, name), parameter.ndim > 1
        groups.setdefault((part, decays), []).append(parameter)
        rates[part] = rate(train, part, in_full=".lora_" not in name)
    order = sorted(groups, key=lambda key: (-COMPONENTS.index(key[0]), not key[1]))
    return [
        {
            "params": groups[part, decays],
            "lr": rates[part],
            "weight_decay": weight_decay if decays else 0.0,
        }
        for part, decays in order
    ]


def rate(train: TrainConfig, part: str, *, in_full: bool) -> float:
    """Learning rate of a component.

    Args:
        train: its rates: the component's own, else that of full training, else the general one.
        part: one of `COMPONENTS`.
        in_full: whether its own weights train, and not LoRA beside them.
    """
    rates = train.learning_rates
    special = {"vision_tower": rates.vision_tower, "projector": rates.projector}.get(part)
    return special or (rates.full if in_full else None) or train.learning_rate


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Copies of everything that trains, on the CPU."""
    return {name: parameter.detach().cpu().clone() for name, parameter in trainable(model)}


def restore(model: nn.Module, values: dict[str, Tensor]) -> None:
    """Writes a snapshot back, in place; names must be exactly those that train.

    Raises:
        KeyError: the snapshot is of another adapter; fingerprints keep that from happening.
    """
    parameters = dict(trainable(model))
    require_same(parameters, values)
    with torch.no_grad():
        for name, value in values.items():
            parameters[name].copy_(value)


def require_same(parameters: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Refuses a snapshot of other parameters.

    Raises:
        KeyError: names the first that differ.
    """
    if parameters.keys() != values.keys():
        raise KeyError(f"snapshot and model differ in {sorted(parameters.keys() ^ values.keys())[:3]}")


def save_adapter(
    model: "PeftModel", loaded: Loaded, folder: Path, run: RunDir, values: dict[str, Tensor] | None = None
) -> list[Path]:
    """Writes PEFT's files and `finetune.json` into a new folder that appears whole, and returns its files.

    Args:
        model: the adapted model.
        loaded: its base.
        folder: becomes the adapter.
        run: for file modes.
        values: a snapshot to be written; None = what is in the model.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    _remove(partial)
    state = _saved(model, snapshot(model) if values is None else values)
    model.save_pretrained(str(run.make(partial)), save_embedding_layers=False, state_dict=state)
    (partial / "README.md").unlink(missing_ok=True)  # PEFT's empty model card; the export stage writes a real one
    _portable(partial / "adapter_config.json", run)
    run.write_json(partial / RECORD, record(loaded))
    for path in partial.iterdir():
        path.chmod(run.file_mode)
    _remove(folder)
    partial.rename(folder)
    return sorted(folder.iterdir())


def _saved(model: nn.Module, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """What PEFT picks its files from: the model's state with a snapshot in it, shared parameters under each name."""
    names = {id(parameter): name for name, parameter in trainable(model)}
    every = model.named_parameters(remove_duplicate=False)
    return model.state_dict() | {
        name: values[names[id(parameter)]] for name, parameter in every if id(parameter) in names
    }


def _portable(path: Path, run: RunDir) -> None:
    """Takes the folder of this machine out of PEFT's config, and the chance out of the order of its sets."""
    plan = read_json(path)
    ordered = {
        name: sorted(plan[name]) for name in ("target_modules", "modules_to_save") if isinstance(plan[name], list)
    }
    run.write_json(path, plan | ordered | {"base_model_name_or_path": None})


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
