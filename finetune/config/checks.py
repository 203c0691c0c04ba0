"""What one field of the config cannot know about another: ranges, names, and settings that exclude each other."""

import ipaddress
import re

from finetune import plugins
from finetune.config import checks_evaluation
from finetune.config.schema import AUGMENTS, STAGES, Config, SplitConfig
from finetune.errors import ConfigError
from finetune.families import _base as families
from finetune.scoring.assertions import ambiguous

LEAST_TILE_PX = 16


def problems(config: Config) -> list[str]:
    """Checks what one field cannot know about another; returns every mistake, worded for the user."""
    return [
        *_name_problems(config),
        *_data_problems(config),
        *_tile_problems(config),
        *_task_problems(config),
        *checks_evaluation.problems(config),
        *_train_problems(config),
        *_launch_problems(config),
    ]


def _name_problems(config: Config) -> list[str]:
    refused = families.REFUSED
    found = [
        f"{where}: {(seam == 'family' and refused.get(got)) or plugins.unknown(seam, got, plugins.names(seam))}"
        for where, seam, got in (
            ("data.adapter", "adapter", config.data.adapter),
            ("task.kind", "task", config.task.kind),
            ("model.family", "family", config.model.family),
        )
        if got not in plugins.names(seam)
    ]
    found += [f"stages: {plugins.unknown('stage', s, STAGES)}" for s in config.stages if s not in STAGES]
    wanted = [s for s in STAGES if s in config.stages]
    if not found and list(config.stages) != wanted:
        found.append(f"stages: got [{', '.join(config.stages)}], expected each once in the order [{', '.join(wanted)}]")
    return found


def _data_problems(config: Config) -> list[str]:
    data, found = config.data, []
    for name, share in (("val", data.split.val), ("test", data.split.test)):
        if not 0 <= share < 1:
            found.append(f"data.split.{name}: got {share}, expected a share from 0 to below 1")
    if data.split.val + data.split.test >= 1:
        found.append(f"data.split: val + test = {data.split.val + data.split.test:g} leaves nothing to train on")
    judged = [stage for stage in ("evaluate", "export") if stage in config.stages]
    if not data.split.test and judged and not (data.folds or data.split.column or data.test_path):
        found.append(f"data.split.test: got 0, but {' and '.join(judged)} among the stages need test examples")
    if data.folds < 0 or data.folds == 1:
        found.append(f"data.folds: got {data.folds}, expected 0 (off) or at least 2")
    if data.test_path is not None:
        found += [
            f"data.test_path is the test: {key} cannot divide the data as well, leave it out"
            for key, given in (
                ("data.folds", data.folds),
                ("data.split.column", data.split.column),
                ("data.split.by", data.split.by.column),
            )
            if given
        ]
    if data.folds and data.split.column:
        found.append("data.folds and data.split.column exclude each other: choose one")
    found += _split_by_problems(data.split)
    if not 0 < data.train_share <= 1:
        found.append(f"data.train_share: got {data.train_share:g}, expected a share above 0 and up to 1")
    if data.limit is not None and data.limit < 1:
        found.append(f"data.limit: got {data.limit}, expected at least 1")
    if not re.fullmatch("0?[67][0-7]{2}", config.run.file_mode):
        found.append(
            f"run.file_mode: got {config.run.file_mode!r}, expected an octal mode such as '0640' "
            "that lets the owner read and write"
        )
    return found


def _split_by_problems(split: SplitConfig) -> list[str]:
    by = split.by
    if by.column is None:
        asked = {"kind": by.kind != "site", "format": by.format is not None, "test": by.test, "val": by.val}
        return [f"data.split.by.{name}: needs data.split.by.column" for name, given in asked.items() if given]
    found = []
    if by.column.startswith("regex:"):
        try:
            re.compile(by.column.removeprefix("regex:"))
        except re.error as error:
            found.append(f"data.split.by.column: {by.column!r} holds no regular expression ({error})")
    if by.val and not by.test and split.test:
        found.append("data.split.by.val: nothing says what is tested; give data.split.by.test, or data.split.test=0")
    if by.kind == "time":
        said = {"test": by.test, "val": by.val}
        found += [
            f"data.split.by.{name}: got {len(given)} times, expected one, the first of them"
            for name, given in said.items()
            if len(given) > 1
        ]
        return found
    if by.format is not None:
        found.append("data.split.by.format: is how times are written; it needs data.split.by.kind=time")
    found += [
        f"data.split.by: {site!r} is in test and in val; a site has one split" for site in by.test if site in by.val
    ]
    return found


def _tile_problems(config: Config) -> list[str]:
    rule, found = config.data.tiles, []
    if rule.size is None:
        asked = {"overlap": rule.overlap != 0, "keep_empty": rule.keep_empty != 1, "empty": rule.empty is not None}
        return [f"data.tiles.{name}: nothing is cut; set data.tiles.size too" for name, given in asked.items() if given]
    if rule.size < LEAST_TILE_PX:
        found.append(f"data.tiles.size: got {rule.size}, expected at least {LEAST_TILE_PX} pixels")
    elif not 0 <= rule.overlap <= rule.size // 2:
        found.append(f"data.tiles.overlap: got {rule.overlap}, expected 0 to {rule.size // 2}, half of the size")
    if not 0 <= rule.keep_empty <= 1:
        found.append(f"data.tiles.keep_empty: got {rule.keep_empty:g}, expected a share from 0 to 1")
    ways = _ways(config.task.kind)
    if not ways:
        return [*found, f"data.tiles: a tile has no answer of its own in task.kind={config.task.kind}"]
    if config.evaluate.aggregate not in ways:
        found.append(
            f"data.tiles: say how tiles make one answer about an image: evaluate.aggregate={' or '.join(ways)}"
        )
    closed = "nms" not in ways
    if closed != (rule.empty is not None):
        said = "needs the answer of a tile without a box" if closed else "is for task.kind=classify; leave it out"
        found.append(f"data.tiles.empty: {said}")
    elif rule.empty is not None and config.task.labels and rule.empty not in config.task.labels:
        found.append(f"data.tiles.empty: {plugins.unknown('label', rule.empty, config.task.labels)}")
    if not closed and config.evaluate.unit == "group":
        found.append("evaluate.unit=group: boxes of several images are no one answer; tiles make one of each image")
    return found


def _ways(kind: str) -> tuple[str, ...]:
    """How tiles make one answer in a task; none where it declares no way, or is not known."""
    found = vars(plugins.load("task", kind)) if kind in plugins.names("task") else {}
    ways: tuple[str, ...] = found.get("TILES", ())
    return ways


def _task_problems(config: Config) -> list[str]:
    task, found = config.task, []
    folded = [label.strip().casefold() for label in task.labels]
    if len(set(folded)) < len(folded):
        found.append(f"task.labels: {list(task.labels)} holds a label twice (case and blanks do not count)")
    if any(not label.strip() for label in task.labels):
        found.append("task.labels: an empty label cannot be answered")
    if task.labels:
        found += [
            f"task.synonyms.{label}: {plugins.unknown('label', label, task.labels)}"
            for label in task.synonyms
            if label not in task.labels
        ]
    if not task.question.strip():
        found.append("task.question: is empty")
    found += [
        f"task.synonyms: {spelling!r} stands for {' and '.join(map(repr, owners))}; it may name only one label"
        for spelling, owners in ambiguous(task.labels, task.synonyms).items()
    ]
    return found + (plugins.load("task", task.kind).problems(task) if task.kind in plugins.names("task") else [])


def _weight_problems(config: Config) -> list[str]:
    train, labels = config.train, config.task.labels
    found = [
        f"train.class_weights.{label}: got {weight:g}, expected more than 0"
        for label, weight in train.class_weights.items()
        if weight <= 0
    ]
    if labels:
        found += [
            f"train.class_weights: {plugins.unknown('label', label, labels)}"
            for label in train.class_weights
            if label not in labels
        ]
    if train.patience is not None and train.patience < 1:
        found.append(f"train.patience: got {train.patience}, expected at least 1 validation, or null")
    if train.patience is not None and train.validate == "never":
        found.append("train.patience: nothing is validated with train.validate=never, so nothing can stop it")
    return found


def _train_problems(config: Config) -> list[str]:
    train, method, found = config.train, config.method, []
    for name, value in (
        ("train.epochs", train.epochs),
        ("train.learning_rate", train.learning_rate),
        ("train.batch_size", train.batch_size),
        ("train.accumulate", train.accumulate),
        ("method.rank", method.rank),
        ("method.alpha", method.alpha),
    ):
        if value <= 0:
            found.append(f"{name}: got {value:g}, expected more than 0")
    rates, hardware = train.learning_rates, config.hardware
    for name, given in (
        ("train.learning_rates.vision_tower", rates.vision_tower),
        ("train.learning_rates.projector", rates.projector),
        ("train.learning_rates.full", rates.full),
        ("hardware.threads", hardware.threads),
    ):
        if given is not None and given <= 0:
            found.append(f"{name}: got {given:g}, expected more than 0, or null")
    if hardware.workers < 0:
        found.append(f"hardware.workers: got {hardware.workers}, expected 0 or more")
    if train.augment not in AUGMENTS:
        found.append(f"train.augment: {plugins.unknown('set', train.augment, AUGMENTS)}")
    if not 0 <= config.seed < 2**32:
        found.append(f"seed: got {config.seed}, expected 0 to {2**32 - 1}")
    if not 0 <= method.dropout < 1:
        found.append(f"method.dropout: got {method.dropout:g}, expected 0 to below 1")
    found += [
        f"train.{name}: got {value}, expected at least 1 step"
        for name, value in (("validate", train.validate), ("checkpoint", train.checkpoint))
        if isinstance(value, int) and value < 1
    ]
    found += _weight_problems(config)
    if train.balance and not train.shuffle:
        found.append("train.balance=true draws examples in an order of its own; it needs train.shuffle=true")
    targets = method.targets
    if {targets.vision_tower, targets.projector, targets.language_model} == {"none"}:
        found.append("method.targets: every component is 'none', so there is nothing to train")
    if method.quantise != "none" and targets.language_model == "full":
        found.append(
            "method.targets.language_model=full: a 4-bit language model can only carry LoRA (attention or all)"
        )
    return found


OPTION = re.compile(r"[a-z][a-z-]*")
"""Name of an option of sbatch."""

TAKEN = ("job-name", "nodes", "ntasks-per-node", "output", "open-mode", "signal", "wrap", "wait")
"""Options of sbatch that the template sets."""


def _launch_problems(config: Config) -> list[str]:
    """Mistakes in `launch` and in how it goes with the batch."""
    launch, found = config.launch, []
    for name, count in (("processes", launch.processes), ("nodes", launch.nodes)):
        if count < 1:
            found.append(f"launch.{name}: got {count}, expected at least 1")
    if found:
        return found
    total = launch.processes * launch.nodes
    if launch.kind == "local" and launch.dry_run:
        found.append("launch.dry_run: there is no job to print; add launch=torchrun or launch=slurm")
    if launch.kind == "local" and total > 1:
        found.append(f"launch.processes: {total} processes need launch=torchrun or launch=slurm")
    if launch.kind != "slurm" and launch.nodes > 1:
        found.append("launch.nodes: several nodes are found through Slurm; use launch=slurm")
    if launch.nodes > 1 and launch.rendezvous is None:
        found.append("launch.rendezvous: ranks of several nodes need a network to meet in, as in 10.0.0.0/24")
    return [*found, *_rendezvous(launch.rendezvous), *_options(config), *_shared(config, total)]


def _rendezvous(cidr: str | None) -> list[str]:
    try:
        ipaddress.ip_network(cidr or "127.0.0.0/8")
    except ValueError as error:
        return [f"launch.rendezvous: got {cidr!r}, expected a network such as 10.0.0.0/24 ({error})"]
    return []


def _options(config: Config) -> list[str]:
    options = config.launch.options
    if options and config.launch.kind != "slurm":
        return ["launch.options: are options of sbatch; they need launch=slurm"]
    found = [f"launch.options.{name}: is set by the template" for name in options if name in TAKEN]
    found += [
        f"launch.options.{name}: is no name of an option of sbatch" for name in options if not OPTION.fullmatch(name)
    ]
    return found + [
        f"launch.options.{name}: got {value!r}, expected one word or a number"
        for name, value in options.items()
        if not isinstance(value, str | int | float) or re.search(r"\s", str(value))
    ]


def _shared(config: Config, total: int) -> list[str]:
    found, method = [], config.method
    try:
        split_batch_across_ranks(max(1, config.train.batch_size), max(1, config.train.accumulate), total)
    except ConfigError as error:
        found.append(str(error))
    if config.hardware.deepspeed is None:
        return found
    if config.launch.kind == "local":
        found.append(
            f"hardware.deepspeed={config.hardware.deepspeed}: there is nothing to divide in one process; add "
            "launch=torchrun"
        )
    if config.train.feature_cache == "on" and config.hardware.deepspeed.startswith("zero3"):
        found.append("train.feature_cache=on: all ranks enter a divided tower together; use auto, or hardware=zero2")
    if method.quantise != "none" and config.hardware.deepspeed.startswith("zero3"):
        found.append("method.quantise: 4-bit weights cannot be divided among ranks; use hardware=zero2")
    if not str(config.train.trainer.get("optim", "adamw_torch_fused")).startswith("adamw_torch"):
        found.append("train.trainer.optim: under hardware.deepspeed it is adamw_torch, whose state can be divided")
    return found


def split_batch_across_ranks(batch_size: int, accumulate: int, ranks: int) -> tuple[int, int]:
    """Examples a forward pass of one rank, and its forward passes an optimiser step.

    Passes are shared out first; where they do not come out even, the examples of a pass are.

    Raises:
        ConfigError: the examples of a step cannot be shared out evenly.
    """
    for size in sorted((n for n in range(1, batch_size + 1) if batch_size % n == 0), reverse=True):
        passes = batch_size // size * accumulate
        if passes % ranks == 0:
            return size, passes // ranks
    raise ConfigError(
        f"train.batch_size x train.accumulate = {batch_size} x {accumulate} examples a step cannot be shared out among "
        f"{ranks} ranks; make it a multiple of {ranks}, as with train.accumulate={ranks}."
    )
