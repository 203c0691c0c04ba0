"""Loads base models and adapters: offline, safetensors only, no remote code, verified against family and record."""

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from finetune import plugins
from finetune.config.schema import Config
from finetune.errors import ConfigError, IntegrityError, ResourceError
from finetune.families import _base as families
from finetune.families._base import Family
from finetune.models import cpu, weight_files
from finetune.models.quantisation import check_four_bit, four_bit_config, keep_layout
from finetune.rundir import Json, read_json

if TYPE_CHECKING:
    from peft import PeftModel

RECORD = "finetune.json"
"""File beside PEFT's own in an adapter folder: what the adapter was trained on."""


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
    _quiet()
    if config.hardware.threads is not None:
        torch.set_num_threads(config.hardware.threads)
    family = families.load(config.model.family)
    _require(family.packages, f"model.family={family.name}")
    folder = weight_files.locate(config.model, offline=config.network == "none")
    weight_files.verify(folder, family)
    device = choose_device(config)
    dtype = torch.bfloat16 if device.type == "cuda" and precision(config, device) == "bf16" else torch.float32
    nf4 = config.method.quantise == "nf4" if quantise is None else quantise
    with ThreadPoolExecutor(1) as beside:  # hashing lets other threads run
        digest = beside.submit(weight_files.weights_digest, folder)
        return Loaded(
            model=_load_model(folder, family, device, dtype, nf4),
            processor=_load_processor(folder, family, config.model.pixels or {}),
            family=family,
            sha256=digest.result(),
            processor_sha256=weight_files.processor_digest(folder, config.model.pixels or {}),
            device=device,
            dtype=dtype,
            source=folder,
        )


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
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else cpu.multiplies_bf16()
    return "bf16" if native else "fp32"


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
    weight_files.refuse_code(adapter)
    with known_warnings():
        attached = PeftModel.from_pretrained(loaded.model, str(adapter), torch_device=str(loaded.device))
    attached.eval()
    return attached


@contextmanager
def known_warnings() -> Iterator[None]:
    """Silences what PEFT says about things that are seen to here."""
    with warnings.catch_warnings():
        # transformers is renaming an attribute that PEFT asks for
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        # `lora.adapt` ties the trained copies of embedding and output layer itself
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings=True", category=UserWarning)
        yield


def _load_model(folder: Path, family: Family, device: torch.device, dtype: torch.dtype, nf4: bool) -> Any:
    import transformers

    attention = {"": "sdpa"} | dict.fromkeys(family.eager, "eager") if family.eager else "sdpa"
    options: Json = {"dtype": dtype, "attn_implementation": attention, "device_map": {"": str(device)}}
    if nf4:
        _require((("bitsandbytes", "bitsandbytes"),), "method.quantise=nf4")
        options["quantization_config"] = four_bit_config(family, dtype)
    loader = getattr(transformers, family.auto_class)
    model = loader.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, **options
    )
    model.requires_grad_(False)
    model.eval()
    if family.prepare is not None:
        family.prepare(model)
    if nf4:
        check_four_bit(model, family)
        keep_layout(model)
    return model


def _load_processor(folder: Path, family: Family, pixels: Json) -> Any:
    """Loads the processor with the family's image backend, whether torchvision is there or not: their pixels differ."""
    from transformers import AutoImageProcessor, AutoProcessor

    unknown = [name for name in pixels if name not in family.pixel_keys]
    if unknown:
        raise ConfigError(
            "\n".join(plugins.unknown(f"model.pixels of {family.name}", name, family.pixel_keys) for name in unknown)
        )
    offline: Json = {"local_files_only": True, "trust_remote_code": False}
    processor: Any = AutoProcessor.from_pretrained(folder, **offline)
    processor.image_processor = AutoImageProcessor.from_pretrained(
        folder, backend=family.image_backend, **offline, **pixels
    )
    return processor


def _quiet() -> None:
    """Stops bars and notes of the libraries that say nothing to a user (a missing kernel hub is our choice)."""
    from transformers.utils import logging as library

    library.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def _require(packages: tuple[tuple[str, str], ...], what: str) -> None:
    missing = [distribution for module, distribution in packages if importlib.util.find_spec(module) is None]
    if missing:
        raise ResourceError(f"{what} needs {' and '.join(missing)}: pip install {' '.join(missing)}")
