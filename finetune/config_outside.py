"""The part of the schema that changes no training: what a run computes on, who starts it, is asked and is shown."""

from dataclasses import dataclass, field
from typing import Any, Literal

from finetune.keys import key


@dataclass(frozen=True)
class HardwareConfig:
    """What the run computes on."""

    device: Literal["auto", "cpu", "cuda"] = key("auto", "auto | cpu | cuda")
    threads: int | None = key(None, "CPU threads of torch (default: its own choice)")
    workers: int = key(0, "processes that decode and prepare images ahead, in prepare and in training")
    deepspeed: str | None = key(
        None, "shards training over the ranks of launch: zero1 | zero2 | zero3 | zero3_offload (extra: deepspeed)"
    )


@dataclass(frozen=True)
class LaunchConfig:
    """How many processes train, and who starts them."""

    kind: Literal["local", "torchrun", "slurm"] = key("local", "local | torchrun | slurm")
    processes: int = key(1, "ranks on each node, one a GPU; they share the examples of a step")
    nodes: int = key(1, "machines")
    rendezvous: str | None = key(
        None, "network (CIDR) over which ranks of several nodes meet, as in 10.0.0.0/24; one node meets on loopback"
    )
    options: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "slurm: options of sbatch, as in launch.options.partition=gpu"}
    )
    wait: bool = key(True, "slurm: wait for the end of the job and end as it does; false = leave it to the queue")
    dry_run: bool = key(False, "print the job instead of running it")


@dataclass(frozen=True)
class BaselineConfig:
    """The proprietary or foreign model to be replaced."""

    kind: Literal["none", "recorded", "openai_compatible", "any_llm"] = key(
        "none", "none | recorded | openai_compatible | any_llm"
    )
    name: str = key("baseline", "its name in files and tables, [a-z0-9_]+")
    path: str | None = key(None, "folder of a recorded pack")
    model: str | None = key(None, "model id at the provider; any_llm: PROVIDER/MODEL")
    base_url: str | None = key(None, "endpoint of an OpenAI-compatible server")
    api_key_env: str | None = key(None, "name of the environment variable that holds the key; never the key")
    policy: str | None = key(None, "file that permits live calls; without it nothing opens a socket")
    dry_run: bool = key(False, "say what would leave, how many bytes, at what price; ask nothing")
    prompts: tuple[str, ...] = key((), "other wordings of the question; the best on validation is used")
    shots: tuple[int, ...] = key((0,), "numbers of worked examples; the best on validation is used")
    max_side: int | None = key(None, "longest side in pixels of the images sent (null = as they are)")
    parameters: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "sampling parameters sent, e.g. temperature=0"}
    )
    max_tokens: int = key(256, "tokens that a reply may have")
    timeout_s: float = key(120.0, "seconds to wait for one reply")
    retries: int = key(5, "how often a request is repeated after 429, 5xx, time-out or a broken connection")
    rate_per_min: int = key(60, "requests a minute at most")


@dataclass(frozen=True)
class ReportConfig:
    """What the report may show."""

    pictures: Literal["full", "blurred", "none"] | None = key(
        None, "full | blurred | none (default: full, none where data.sensitivity=restricted)"
    )


@dataclass(frozen=True)
class TrackingConfig:
    """Which experiment tracker is shown the run, after the fact."""

    kind: Literal["none", "wandb", "tensorboard"] = key("none", "none | wandb (offline) | tensorboard")
    project: str = key("finetune", "name of the project at the tracker")
