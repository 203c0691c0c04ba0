"""Loads base models and adapters: offline, safetensors only, no remote code, verified against family and record."""

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from finetune import family as families
from finetune.config import Config, ModelConfig
from finetune.errors import ConfigError, IntegrityError, ResourceError
from finetune.family import Family
from finetune.rundir import Json, canonical_digest, read_json, sha256_file

if TYPE_CHECKING:
    from peft import PeftModel

EMBEDDED = "embedded"
RECORD = "finetune.json"
"""File beside PEFT's own in an adapter folder: what the adapter was trained on."""

_WANTED = ("*.json", "*.jinja", "*.safetensors", "*.model", "*.txt")
_FOREIGN_CODE = ("auto_map", "custom_pipelines")


@dataclass(frozen=True)
class Loaded:
    """A base model, ready to be adapted or asked.

    Attributes:
        model: the `...ForConditionalGeneration` object, in eval mode.
        processor: its processor, image processor on the PIL backend.
        family: the architecture.
        sha256: digest over the weight files.
        processor_sha256: digest over the processor's files and `model.pixels`.
        device: where the model is.
        dtype: of the weights.
        source: the folder it came from.
    """

    model: Any
    processor: Any
    family: Family
    sha256: str
    processor_sha256: str
    device: torch.device
    dtype: torch.dtype
    source: Path


def load(config: Config, *, quantise: bool | None = None) -> Loaded:
    """Loads the base model that a config names.

    Args:
        config: `model`, `hardware`, `train.precision`, `method.quantise` and `network` are read.
        quantise: overrides `method.quantise` (export merges into unquantised weights).

    Raises:
        ConfigError: no such weights, another architecture than `model.family`, code in the checkpoint, a bad
            `model.pixels`.
        ResourceError: a package or a device is missing.
    """
    family = families.load(config.model.family)
    _require(family.packages, f"model.family={family.name}")
    folder = locate(config.model, offline=config.network == "none")
    _verify(folder, family)
    device = choose_device(config)
    dtype = torch.bfloat16 if device.type == "cuda" and precision(config, device) == "bf16" else torch.float32
    nf4 = config.method.quantise == "nf4" if quantise is None else quantise
    return Loaded(
        model=_load_model(folder, family, device, dtype, nf4),
        processor=_load_processor(folder, family, config.model.pixels or {}),
        family=family,
        sha256=weights_digest(folder),
        processor_sha256=_processor_digest(folder, config.model.pixels or {}),
        device=device,
        dtype=dtype,
        source=folder,
    )


def locate(model: ModelConfig, *, offline: bool) -> Path:
    """Folder that holds the weights: the package's own, `model.path`, or the hub's cache.

    Raises:
        ConfigError: there is none.
    """
    if model.path is not None:
        folder = Path(model.path)
        if not (folder / "config.json").is_file():
            raise ConfigError(
                f"model.path: {folder} holds no config.json; expected a folder as save_pretrained writes it."
            )
        return folder
    if model.id == EMBEDDED:
        return Path(__file__).parent / "embedded" / "tiny"
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


def choose_device(config: Config) -> torch.device:
    """The device that the config asks for, or the best there is.

    Raises:
        ResourceError: CUDA was asked for and is absent.
    """
    wanted = config.hardware.device
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ResourceError("hardware.device=cuda: torch sees no CUDA device; use hardware.device=auto or cpu.")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def precision(config: Config, device: torch.device) -> str:
    """`fp32` or `bf16`: as asked, else by what the device computes natively."""
    if config.train.precision != "auto":
        return config.train.precision
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"


def weights_digest(folder: Path) -> str:
    """Digest over the names and contents of the weight files."""
    return canonical_digest({path.name: sha256_file(path) for path in sorted(folder.glob("*.safetensors"))})


def record(loaded: Loaded) -> Json:
    """What `finetune.json` says about the base of an adapter."""
    return {
        "family": loaded.family.name,
        "base_sha256": loaded.sha256,
        "processor_sha256": loaded.processor_sha256,
        "image_processor": type(loaded.processor.image_processor).__name__,
    }


def attach(loaded: Loaded, adapter: Path) -> "PeftModel":
    """Puts a trained adapter on its base; components that were trained whole come with it.

    Raises:
        IntegrityError: the adapter was trained on other weights or another processor; names what differs.
    """
    from peft import PeftModel

    if not (adapter / RECORD).is_file():
        raise IntegrityError(f"{adapter} has no {RECORD}: it is not an adapter of this program, or is incomplete.")
    written, present = read_json(adapter / RECORD), record(loaded)
    different = [name for name, value in present.items() if written.get(name) != value]
    if different:
        told = "; ".join(f"{name}: trained with {written.get(name)}, got {present[name]}" for name in different)
        raise IntegrityError(f"{adapter} does not belong to {loaded.source}: {told}.")
    _refuse_code(adapter)
    attached = PeftModel.from_pretrained(loaded.model, str(adapter), torch_device=str(loaded.device))
    attached.eval()
    return attached


def _load_model(folder: Path, family: Family, device: torch.device, dtype: torch.dtype, nf4: bool) -> Any:
    from transformers import AutoModelForImageTextToText

    options: Json = {"dtype": dtype, "attn_implementation": "sdpa", "device_map": {"": str(device)}}
    if nf4:
        options["quantization_config"] = _four_bit(family, dtype)
    model = AutoModelForImageTextToText.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, **options
    )
    model.requires_grad_(False)
    model.eval()
    if nf4:
        check_four_bit(model, family)
    return model


def _four_bit(family: Family, dtype: torch.dtype) -> Any:
    """NF4 for the language model alone.

    The skip list holds full dotted prefixes, since shorter ones match nothing, and names the head, since a list of ours
    replaces the library's default that keeps it.
    """
    _require((("bitsandbytes", "bitsandbytes"),), "method.quantise=nf4")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=[*family.vision_tower, *family.projector, *family.head],
    )


def check_four_bit(model: nn.Module, family: Family) -> None:
    """Asserts that 4-bit layers exist, and in the language model alone.

    Raises:
        ConfigError: the family's prefixes do not keep another component out.
    """
    names = list(four_bit_modules(model))
    outside = [name for name in names if families.component_of(family, name) != "language_model"]
    if outside or not names:
        raise ConfigError(
            f"method.quantise=nf4: expected 4-bit layers in the language model of {family.name} alone, got "
            f"{len(names)} with {len(outside)} outside ({', '.join(outside[:3])}); the family file's prefixes are wrong."
        )


def four_bit_modules(model: nn.Module) -> Iterator[str]:
    """Yields the names of the 4-bit linear layers of a model."""
    if importlib.util.find_spec("bitsandbytes") is None:
        return
    from bitsandbytes.nn import Linear4bit

    for name, module in model.named_modules():
        if isinstance(module, Linear4bit):
            yield name


def _load_processor(folder: Path, family: Family, pixels: Json) -> Any:
    """Loads the processor with the PIL image processor, whether torchvision is there or not: their pixels differ."""
    from transformers import AutoImageProcessor, AutoProcessor

    unknown = [name for name in pixels if name not in family.pixel_keys]
    if unknown:
        raise ConfigError(
            "\n".join(
                families.named.unknown(f"model.pixels of {family.name}", name, family.pixel_keys) for name in unknown
            )
        )
    offline: Json = {"local_files_only": True, "trust_remote_code": False}
    processor: Any = AutoProcessor.from_pretrained(folder, **offline)
    processor.image_processor = AutoImageProcessor.from_pretrained(folder, backend="pil", **offline, **pixels)
    return processor


def _processor_digest(folder: Path, pixels: Json) -> str:
    names = ("preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json")
    files = [
        folder / name for name in (*names, "chat_template.jinja", "chat_template.json") if (folder / name).is_file()
    ]
    return canonical_digest({"pixels": pixels} | {path.name: sha256_file(path) for path in files})


def _verify(folder: Path, family: Family) -> None:
    """Refuses code in a checkpoint and another architecture than the one that the config states."""
    _refuse_code(folder)
    model_type = read_json(folder / "config.json").get("model_type")
    if model_type not in family.model_types:
        fitting = families.serving(str(model_type))
        hint = f"use model.family={fitting}" if fitting else "no family file serves it yet"
        raise ConfigError(
            f"model.family={family.name} serves {', '.join(family.model_types)}, but {folder}/config.json says "
            f"model_type {model_type!r}: {hint}."
        )
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(f"{folder} holds no .safetensors file; other weight formats can carry code and are not read.")


def _refuse_code(folder: Path) -> None:
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


def _require(packages: tuple[tuple[str, str], ...], what: str) -> None:
    missing = [distribution for module, distribution in packages if importlib.util.find_spec(module) is None]
    if missing:
        raise ResourceError(f"{what} needs {' and '.join(missing)}: pip install {' '.join(missing)}")
