"""The whole schema. YAML only fills it in; past `compose` there is nothing but these frozen dataclasses."""

from dataclasses import dataclass, field
from typing import Any, Literal

STAGES = ("prepare", "train", "evaluate", "report", "export")

EVALUATED = ("majority", "linear", "base", "tuned")
"""Models that are compared unless `evaluate.models` says otherwise."""

RIVALS = EVALUATED
"""Models of our own that `evaluate.models` may name, besides `baseline.name` and `predictions:PATH`."""

AUGMENTS = ("none", "flips", "inspection", "upright")
"""Sets of random changes that `train.augment` may name; finetune/training/augment.py holds them."""

Target = Literal["none", "attention", "all", "full"]


def key(default: Any, help: str) -> Any:
    """Declares a config key: its default and the line that `--help` prints."""
    return field(default=default, metadata={"help": help})


def section(cls: type) -> Any:
    """Declares a nested section."""
    return field(default_factory=cls)


@dataclass(frozen=True)
class RunConfig:
    """Where a run goes."""

    root: str = key("runs", "folder that holds the runs")
    dir: str | None = key(
        None, "one exact run directory (default: run.root/RECIPE-HASH, so that a command finds its run)"
    )
    file_mode: str = key("0640", "octal mode of the files written")


@dataclass(frozen=True)
class SplitByConfig:
    """A split by time or site instead of by chance."""

    column: str | None = key(None, "column with the time or the site, or regex:PATTERN on the image's path")
    kind: Literal["time", "site"] = key("site", "time (the newest groups are tested) | site (whole sites are held out)")
    format: str | None = key(None, "how times are written, as in strptime (default: ISO 8601, or numbers)")
    test: tuple[str, ...] = key((), "sites that are tested, or the first time that is (default: by data.split.test)")
    val: tuple[str, ...] = key((), "the same for validation")


@dataclass(frozen=True)
class SplitConfig:
    """How groups are divided."""

    val: float = key(0.1, "share of groups for validation")
    test: float = key(0.2, "share of groups for the test")
    column: str | None = key(None, "column that already says train, val or test")
    salt: str = key("", "changes which groups fall where; independent of the seed")
    by: SplitByConfig = section(SplitByConfig)


@dataclass(frozen=True)
class TilesConfig:
    """Large images with small defects: cut into squares, asked one by one, put together again in the evaluation."""

    size: int | None = key(None, "side of the square tiles in pixels of the upright image (null = whole images)")
    overlap: int = key(0, "pixels that neighbours share at least; best the length of the largest defect")
    keep_empty: float = key(1.0, "share of the tiles without a box that training uses, by hash")
    empty: str | None = key(None, "classify: the answer of a tile that holds no box")


@dataclass(frozen=True)
class DataConfig:
    """The source and how it is read."""

    adapter: str = key("image_folder", "source format: a file in data_adapters/")
    path: str | None = key(None, "folder or file of the source")
    test_path: str | None = key(None, "a second source, read by the same rules, that is the whole test")
    options: dict[str, Any] = field(default_factory=dict, metadata={"help": "options of the adapter, checked by it"})
    group: str | None = key(None, "column or rule that must not span splits (patient, part, module)")
    split: SplitConfig = section(SplitConfig)
    folds: int = key(0, "K-fold cross-validation by groups instead of one split (0 = off)")
    train_share: float = key(1.0, "share of the training groups used, by hash, one a label at least (curve)")
    limit: int | None = key(None, "whole groups, round-robin over labels, until N examples")
    decode: Literal["full", "headers"] = key(
        "full", "full | headers (sizes alone; no near copies, equal ones by bytes)"
    )
    duplicates: Literal["report", "join", "fail", "off"] = key(
        "report", "nearly equal images: report | join (their groups) | fail | off"
    )
    on_bad_row: Literal["fail", "quarantine"] = key("fail", "what a bad row does: fail | quarantine")
    site_key: str | None = key(None, "file with secret bytes, outside the run, by which ids are hashed")
    bad_row_limit: int = key(100, "give up when more rows than this are quarantined")
    sensitivity: Literal["normal", "restricted"] = key("normal", "normal | restricted (no pictures in reports)")
    tiles: TilesConfig = section(TilesConfig)


@dataclass(frozen=True)
class TaskConfig:
    """What is asked and what may be answered."""

    kind: str = key("classify", "task: a file in finetune/tasks/")
    question: str = key(
        "Which is it? Answer with one of: {labels}.", "the user turn, verbatim; {labels} becomes the list"
    )
    labels: tuple[str, ...] = key((), "the closed answers, as text (empty: those found in the source)")
    synonyms: dict[str, tuple[str, ...]] = field(
        default_factory=dict, metadata={"help": "label -> other spellings that the parser accepts"}
    )
    options: dict[str, Any] = field(default_factory=dict, metadata={"help": "options of the task, checked by it"})


@dataclass(frozen=True)
class ModelConfig:
    """The base model. `id: embedded` is the small model inside the package."""

    family: str = key("idefics3", "architecture: a file in finetune/families/")
    id: str = key("embedded", "hub id, or embedded")
    revision: str | None = key(None, "exact commit of the hub repository")
    path: str | None = key(None, "local folder with the weights instead of the hub; verified against its model_type")
    adapter: str | None = key(
        None, "folder of a PEFT adapter trained before or elsewhere, evaluated instead of training"
    )
    pixels: dict[str, Any] | None = key(None, "image-processor settings that replace the saved ones")


@dataclass(frozen=True)
class TargetsConfig:
    """Which linear layers of which component are adapted."""

    vision_tower: Target = key("none", "none | attention | all (linear layers) | full (every parameter, saved whole)")
    projector: Target = key("none", "none | attention | all | full")
    language_model: Target = key("all", "none | attention | all | full")


@dataclass(frozen=True)
class MethodConfig:
    """How the model is adapted."""

    rank: int = key(16, "rank of the LoRA matrices")
    alpha: float = key(32.0, "LoRA scale: updates are multiplied by alpha / rank")
    dropout: float = key(0.0, "dropout before the LoRA matrices")
    variant: Literal["lora", "dora", "rslora"] = key(
        "lora", "lora | dora (direction and size apart) | rslora (scale alpha / sqrt(rank))"
    )
    quantise: Literal["none", "nf4"] = key("none", "4-bit language model under the adapter: none | nf4")
    targets: TargetsConfig = section(TargetsConfig)


@dataclass(frozen=True)
class LearningRates:
    """Rates of single components; null = train.learning_rate."""

    vision_tower: float | None = key(None, "rate of the vision tower")
    projector: float | None = key(None, "rate of the projector")
    full: float | None = key(None, "rate of weights that train in full, where no line above says")


@dataclass(frozen=True)
class TrainConfig:
    """The optimisation."""

    epochs: float = key(3.0, "passes over the training examples")
    batch_size: int = key(8, "examples a forward pass")
    accumulate: int = key(1, "forward passes an optimiser step")
    learning_rate: float = key(2e-4, "peak rate; linear warm-up, cosine decay")
    learning_rates: LearningRates = section(LearningRates)
    precision: Literal["auto", "fp32", "bf16"] = key(
        "auto", "auto | fp32 | bf16 (auto: bf16 where the GPU or CPU has instructions for it, else fp32)"
    )
    shuffle: bool = key(True, "false = the source's row order")
    balance: bool = key(False, "draw every label equally often in an epoch; rare ones repeat")
    class_weights: dict[str, float] = field(
        default_factory=dict,
        metadata={"help": "label -> weight of its examples in the loss (default 1), as in {rare: 4}"},
    )
    augment: str = key("none", "named set of random changes to training images: none | flips | inspection | upright")
    validate: int | Literal["epoch", "never"] = key("epoch", "task metric on validation: epoch | never | every N steps")
    patience: int | None = key(None, "stop after this many validations in a row without a better one (null = never)")
    checkpoint: int | Literal["epoch"] = key("epoch", "save: epoch | every N steps")
    feature_cache: Literal["auto", "on", "off"] = key(
        "auto", "keep features of a frozen vision tower on disk: auto (where it is exact) | on (or fail) | off"
    )
    feature_cache_max_gb: float = key(20.0, "most that the folder FINETUNE_CACHE may hold; what was used last stays")
    trainer: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "other transformers.TrainingArguments fields that break no promise"}
    )


@dataclass(frozen=True)
class DecisionConfig:
    """The rule, fixed before inference."""

    metric: Literal["accuracy", "balanced_accuracy", "sensitivity", "specificity"] = key(
        "accuracy", "primary metric: accuracy | balanced_accuracy | sensitivity | specificity"
    )
    margin: float | None = key(None, "largest loss against the baseline that is acceptable, 0..1 (null = no verdict)")
    floor: float | None = key(None, "the tuned model's primary metric must be above this, whoever it is compared with")
    min_coverage: float = key(0.9, "no verdict where a model answers a smaller share of the items")
    valid_days: int = key(180, "a verdict expires after this many days, or when anything in its scope changes")


@dataclass(frozen=True)
class EvaluateConfig:
    """Who is compared, and on what."""

    models: tuple[str, ...] = key(
        EVALUATED, "who is compared: majority, base, tuned, linear, the baseline's name, predictions:PATH"
    )
    batch_size: int = key(32, "examples a forward pass")
    positive: str | None = key(None, "label whose sensitivity and specificity are shown")
    decision: DecisionConfig = section(DecisionConfig)
    guards: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "METRIC or METRIC.LABEL -> {min_lower: BOUND}, e.g. sensitivity.defective={min_lower:0.9}"},
    )
    threshold: float | None = key(
        None, "answer evaluate.positive at this probability or above (null = the likeliest label)"
    )
    prevalence: dict[str, float] = field(
        default_factory=dict, metadata={"help": "label -> share in real use, for predictive values and cost"}
    )
    costs: dict[str, float] = field(
        default_factory=dict, metadata={"help": "miss, false_alarm, item, review -> cost of one, in any one currency"}
    )
    risk_target: float | None = key(
        None, "highest acceptable error among the answers that the model does not hand over"
    )
    subgroups: tuple[str, ...] = key((), "columns of meta by which results are broken down")
    primary_baseline: str | None = key(None, "the model to be replaced (default: the baseline's name)")
    unit: Literal["image", "group"] = key("image", "what one decision is about: image | group (part, patient)")
    aggregate: Literal["any", "max", "vote", "nms"] | None = key(
        None, "several images or tiles as one: any positive | largest probability | majority vote | boxes of tiles"
    )
    sealed: bool = key(False, "the test may be opened once; a second look is refused")
    general: str | None = key(None, "folder of general question sets, to see what training made the model forget")


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


@dataclass(frozen=True)
class Config:
    """One run, completely."""

    recipe: str = key("", "the recipe: recipes/NAME.yaml, or NAME.yaml in the folder FINETUNE_RECIPES")
    stages: tuple[str, ...] = key(STAGES, "the stages to run, in this order")
    seed: int = key(0, "of sampling, augmentation and adapter initialisation")
    network: Literal["none", "allow"] = key("none", "none | allow (none: every connection off this machine is refused)")
    run: RunConfig = section(RunConfig)
    data: DataConfig = section(DataConfig)
    task: TaskConfig = section(TaskConfig)
    model: ModelConfig = section(ModelConfig)
    method: MethodConfig = section(MethodConfig)
    train: TrainConfig = section(TrainConfig)
    hardware: HardwareConfig = section(HardwareConfig)
    launch: LaunchConfig = section(LaunchConfig)
    evaluate: EvaluateConfig = section(EvaluateConfig)
    baseline: BaselineConfig = section(BaselineConfig)
    report: ReportConfig = section(ReportConfig)
    tracking: TrackingConfig = section(TrackingConfig)
