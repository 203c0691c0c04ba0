"""The files of a base model: where they are, what they are, and that they are data and nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune.config.schema import ModelConfig
from finetune.errors import ConfigError
from finetune.families import _base as families
from finetune.families._base import Family
from finetune.rundir import Json, canonical_digest, read_json, sha256_file

EMBEDDED = "embedded"
"""`model.id` of the small model inside the package."""

_WANTED = ("*.json", "*.jinja", "*.safetensors", "*.model", "*.txt")
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
    """Digest over the names and contents of the weight files."""
    return canonical_digest({path.name: sha256_file(path) for path in sorted(folder.glob("*.safetensors"))})


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
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(f"{folder} holds no .safetensors file; other weight formats can carry code and are not read.")


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
