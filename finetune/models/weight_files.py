"""The files of a base model: where they are, what they are, and that they are data and nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune.config.schema import ModelConfig
from finetune.errors import ConfigError, IntegrityError
from finetune.families import _base as families
from finetune.families._base import Family
from finetune.rundir import Json, canonical_digest, read_json, sha256_file

EMBEDDED = "embedded"
"""`model.id` of the small model inside the package."""

_WANTED = ("*.json", "*.jinja", "*.safetensors", "*.model", "*.txt")
_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_PROCESSOR = (
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
)
_FOREIGN_CODE = ("auto_map", "custom_pipelines")


def locate(model: ModelConfig, *, offline: bool) -> Path:
    """Folder that holds the weights: the package's own, `model.path`, or the hub's cache.

    Raises:
        ConfigError: there is none.
    """
    if model.path is not None:
        folder = Path(model.path).expanduser()
        if not (folder / "config.json").is_file():
            raise ConfigError(
                f"model.path: {folder} holds no config.json; expected a folder as save_pretrained writes it."
            )
        return folder
    if model.id == EMBEDDED:
        return Path(__file__).parents[1] / "embedded" / "tiny"
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(model.id, revision=model.revision, local_files_only=offline, allow_patterns=list(_WANTED))
        )
    except LocalEntryNotFoundError as error:
        raise ConfigError(
            f"model.id: {model.id!r} is not in the cache of this machine and "
            f"{'network=none' if offline else 'the hub cannot be reached'}. Give model.path=FOLDER with the weights, "
            "or fetch them once on a machine with network=allow."
        ) from error
    except HfHubHTTPError as error:
        raise ConfigError(f"model.id: the hub refused {model.id!r} at revision {model.revision}: {error}") from error


def weights_digest(folder: Path) -> str:
    """Digest over the names and contents of the weight files that are loaded; others beside them do not count.

    Raises:
        ConfigError: see `loaded_files`.
    """
    return canonical_digest({path.name: sha256_file(path) for path in loaded_files(folder)})


def loaded_files(folder: Path) -> list[Path]:
    """The files that `from_pretrained` reads: model.safetensors, else those that the index names.

    Raises:
        ConfigError: there are none, or the index names what is not a .safetensors file of this folder.
    """
    if (folder / _WHOLE).is_file():
        names = [_WHOLE]
    elif (folder / _INDEX).is_file():
        mapped = read_json(folder / _INDEX).get("weight_map")
        if not isinstance(mapped, dict) or not mapped:
            raise ConfigError(f"{folder / _INDEX}: weight_map is not a map of tensors to files.")
        names = sorted({str(name) for name in mapped.values()})
    else:
        raise ConfigError(
            f"{folder} holds no .safetensors file; other weight formats can carry code and are not read. "
            f"Expected {_WHOLE}, or {_INDEX} and what it names."
        )
    for name in names:
        if not _is_inside(folder, name):
            raise ConfigError(
                f"{folder / _INDEX} names {name!r}; expected a .safetensors file that lies in this folder."
            )
    return [folder / name for name in names]


def _is_inside(folder: Path, name: str) -> bool:
    """Whether a name is a regular .safetensors file here; the hub's cache links into `blobs` of the same model."""
    path, top = folder / name, folder.resolve()
    if top.parent.name == "snapshots":
        top = top.parents[1]
    plain = "/" not in name and "\\" not in name and name.isprintable() and name.endswith(".safetensors")
    return plain and path.is_file() and path.resolve().is_relative_to(top)


def refuse_incomplete(folder: Path, told: Json) -> None:
    """Refuses a base whose tensors are not all in its files: the others would be random.

    Args:
        folder: where the weights were read.
        told: what `from_pretrained(output_loading_info=True)` says; tied weights are not among the missing ones.

    Raises:
        IntegrityError: names what is missing or of another shape.
    """
    problems = []
    for name, what in (("missing_keys", "missing in the files"), ("mismatched_keys", "of another shape")):
        keys = sorted(str(key) for key in told.get(name) or [])
        if keys:
            problems.append(f"{len(keys)} tensors are {what}: {', '.join(keys[:3])}{', ...' if keys[3:] else ''}")
    if problems:
        raise IntegrityError(f"{folder} is not the whole model: {'; '.join(problems)}. Fetch the weights again.")


def processor_digest(folder: Path, pixels: Json) -> str:
    """Digest over the processor's files and the settings of `model.pixels`, which together make the model's input."""
    files = [folder / name for name in _PROCESSOR if (folder / name).is_file()]
    return canonical_digest({"pixels": pixels} | {path.name: sha256_file(path) for path in files})


def verify(folder: Path, family: Family) -> None:
    """Refuses code in a checkpoint, an architecture that is not served, and another than the config states.

    Raises:
        ConfigError: says what the checkpoint is and which family would fit.
    """
    told = read_json(folder / "config.json")
    if refused := families.REFUSED.get(str(told.get("model_type"))):
        raise ConfigError(f"{folder}/config.json: {refused}")
    successor = families.succeeding(told.get("architectures") or [])
    if successor is not None:
        raise ConfigError(
            f"{folder}/config.json names the architecture {told['architectures'][0]}, which brings its own code, and "
            f"such code is never run. What can be used in its place: model.family={successor} with weights in "
            "transformers' own format (show models lists some)."
        )
    refuse_code(folder)
    if told.get("quantization_config"):
        raise ConfigError(
            f"{folder}/config.json has a quantization_config: these weights are quantised already, the vision tower "
            "perhaps among them. Give the original weights; method=qlora quantises what may be."
        )
    model_type, tower = told.get("model_type"), (told.get("vision_config") or {}).get("model_type", "")
    fitting = families.serving(str(model_type), tower)
    if fitting != family.name:
        hint = f"use model.family={fitting}" if fitting else "no family file serves it yet"
        kind = f"{model_type!r}" + f" with the tower {tower!r}" * (model_type in family.model_types)
        raise ConfigError(
            f"model.family={family.name} serves {', '.join(family.model_types)}, but {folder}/config.json says "
            f"model_type {kind}: {hint}."
        )
    if told.get("transformers_weights") is not None:
        raise ConfigError(f"{folder}/config.json names its weights (transformers_weights); they are model.safetensors.")
    if (folder / "adapter_config.json").exists():
        raise ConfigError(f"{folder} holds an adapter_config.json: a base would be loaded with it; name model.adapter.")
    loaded_files(folder)


def refuse_code(folder: Path) -> None:
    """Refuses a folder whose JSON files name code to run.

    Raises:
        ConfigError: names file and key.
    """
    for path in sorted(folder.glob("*.json")):
        if path.name in ("tokenizer.json", "vocab.json") or path.name.endswith(".index.json"):
            continue
        found = [name for name in _keys(json.loads(path.read_text(encoding="utf-8"))) if _carries_code(name)]
        if found:
            raise ConfigError(
                f"{path} asks for code of its own ({found[0]!r}); models that bring their own code are never run. "
                "Use a checkpoint whose architecture is part of transformers."
            )


def _carries_code(name: str) -> bool:
    return name in _FOREIGN_CODE or name.endswith("_internal")


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(child)
