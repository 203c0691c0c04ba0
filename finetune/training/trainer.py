"""Supervised training: transformers' Trainer with data, order, loss, record and checkpoints of our own.

Not TRL's SFTTrainer: everything that it adds is replaced here, and what remained would be seconds of import and a ping.
"""

import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune.config.schema import TrainConfig
from finetune.errors import DataError
from finetune.models.feature_cache import FeatureCache
from finetune.models.load import Loaded, record
from finetune.rundir import Json, RunDir
from finetune.training import checkpoints, lora, ranks
from finetune.training.checkpoints import State
from finetune.training.collator import Collator, Examples
from finetune.training.log import Journal
from finetune.training.loss import Batch, answer_loss, count_labels
from finetune.training.memory import peak_mib
from finetune.training.resumable_trainer import ResumingTrainer
from finetune.training.sampler import BatchSampler, Share
from finetune.training.signals import Interruption, ignore_in_worker
from finetune.training.trainable_state import Divided, Trained
from finetune.training.validation import FloorWatch, Validator, Verdict

if TYPE_CHECKING:
    from peft import PeftModel


class AnswerTrainer(ResumingTrainer):
    """One training of one part.

    Args:
        model: the adapted model.
        args: from `arguments.training_arguments`.
        loaded: the base it sits on.
        train: order, rates, when to validate and to save.
        examples: the training split.
        collator: makes the batches.
        journal: the record.
        validator: the task metric; None where there is nothing to validate on, or `train.validate=never`.
        features: those of a frozen tower, for batches without pixels; None = the batches have pixels.
        lengths: tokens of each example without its answer.
        interruption: says whether the run was asked to stop.
        folder: of the checkpoints.
        run: for file modes.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        *,
        loaded: Loaded,
        train: TrainConfig,
        examples: Examples,
        collator: Collator,
        journal: Journal,
        validator: Validator | None,
        features: FeatureCache | None,
        lengths: Sequence[int],
        interruption: Interruption,
        folder: Path,
        run: RunDir,
    ) -> None:
        """Builds the sampler and hands the rest to transformers."""
        self.loaded, self.settings, self.journal, self.validator = loaded, train, journal, validator
        self.interruption, self.folder, self.run_dir = interruption, folder, run
        self.features, self.pictures = features, collator.pictures
        self.adapted: PeftModel = model
        self.trained = Trained(model)
        self.examples = examples
        self.best: dict[str, Tensor] | None = None
        self.verdict: Json = {}
        self._watch = None if validator is None else FloorWatch(validator.floor, validator.config)
        self.sampler = BatchSampler(
            len(examples),
            self._share(args, train),
            args.seed,
            train.shuffle,
            classes=[example.target for example in examples.examples] if train.balance else None,
            lengths=lengths,
        )
        self._ids: list[str] = []
        self._resumed: State | None = None
        self._last = 0.0
        super().__init__(model, args, collator, examples, callbacks=[Schedule(self)])
        self.remove_callback(PrinterCallback)

    @staticmethod
    def _share(args: TrainingArguments, train: TrainConfig) -> Share:
        size, passes = args.per_device_train_batch_size, args.gradient_accumulation_steps
        return Share(ranks.rank(), ranks.world(), size, passes, whole=train.batch_size)

    @property
    def steps_an_epoch(self) -> int:
        """Optimiser steps of one pass."""
        return math.ceil(len(self.sampler) / self.args.gradient_accumulation_steps)

    @property
    def given_up(self) -> bool:
        """Whether as many validations as `train.patience` in a row have found nothing better."""
        patience = self.settings.patience
        return patience is not None and self.verdict.get("waited", 0) >= patience

    def run_from(self, found: tuple[Path, State] | None) -> None:
        """Trains to the end, or until interrupted, from a checkpoint or from the start."""
        place, self._resumed = found or (None, None)
        if self._resumed is not None:
            self.best, self.verdict = self._resumed.best, self._resumed.verdict
        if self.given_up:  # before it was interrupted: nothing is left but to save
            return
        try:
            self.train(resume_from_checkpoint=str(place) if place else None)
        finally:
            self.journal.close()

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches in the order of our sampler; no global random number is drawn for it."""
        return DataLoader(
            self.examples,
            batch_sampler=self.sampler,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            prefetch_factor=self.args.dataloader_prefetch_factor,
            worker_init_fn=ignore_in_worker,
            generator=torch.Generator(),
        )

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Batch], Tensor]:
        """The batches of one optimiser step, and the number of labelled tokens in it: the mean over ranks.

        Gradients are averaged over ranks, so a sum divided by the mean number is the mean over all tokens.
        """
        found: list[Batch] = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        self._ids = [name for batch in found for name in batch.pop("ids")]
        if self.features is not None:
            found = [self.features.shown(batch, batch.pop("shown"), self.pictures) for batch in found]
        tokens = torch.tensor(float(count_labels(found)), device=device)
        mean: Tensor = self.accelerator.reduce(tokens, reduction="mean")
        return found, mean

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Loss of one batch, its share of the accumulated batch."""
        return answer_loss(model, inputs, num_items_in_batch)

    def training_step(self, model: Any, inputs: Batch, num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward of one batch.

        Raises:
            DataError: the loss is not finite.
        """
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if ranks.world() == 1:  # of several ranks all stop together, in `log`, where each knows the loss of all
            self._require_finite(bool(torch.isfinite(loss)), "loss", self.state.global_step + 1)
        return loss

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The optimiser, with one group a component."""
        if self.optimizer is None:
            cls, options = self.get_optimizer_cls_and_kwargs(self.args)
            groups = lora.parameter_groups(
                self.adapted, self.loaded.family, self.settings, weight_decay=self.args.weight_decay
            )
            if self.is_deepspeed_enabled:
                self.trained = Divided(self.adapted, [list(group["params"]) for group in groups])
            self.optimizer = cls(groups, **options)
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Leaves the warm-up out of a training of one step, which would be all of it: at rate 0 nothing is learnt."""
        if num_training_steps == 1:
            self.args.warmup_steps = 0
        scheduler: torch.optim.lr_scheduler.LRScheduler = super().create_scheduler(num_training_steps, optimizer)
        return scheduler

    def floating_point_ops(self, inputs: Batch) -> int:
        """Not counted: the library walks over all parameters for it, each step."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Writes the line of a step; the library's summary at the end is left out.

        Raises:
            DataError: the gradient is not finite; the update was made in memory, and nothing of it is saved.
        """
        if "loss" not in logs:
            return
        self._require_finite(math.isfinite(logs["loss"]), "loss", self.state.global_step)
        self._require_finite(math.isfinite(logs["grad_norm"]), "gradient", self.state.global_step)
        moment = time.perf_counter()
        self.journal.step(
            {
                "step": self.state.global_step,
                "epoch": round(float(self.state.epoch or 0), 6),
                "loss": logs["loss"],
                "learning_rate": logs["learning_rate"],
                "grad_norm": logs["grad_norm"],
                "samples_per_s": round(len(self._ids) * ranks.world() / (moment - self._last), 3),
                "peak_memory_mib": round(peak_mib(self.args.device), 1),
            }
        )
        self._last = moment

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Judges the present state on validation and remembers it where it is the best."""
        self.control.should_evaluate = False
        if self.validator is None:
            return {}
        result, step = ranks.from_main(self.validator(self.adapted)), self.state.global_step
        better = not self.verdict or result > Verdict(self.verdict["value"], self.verdict["log_probability"])
        if better:
            self.verdict, self.best = {"step": step, **dataclasses.asdict(result)}, self.trained.snapshot()
        self.verdict["waited"] = 0 if better else self.verdict["waited"] + 1
        if self.given_up:
            self.control.should_training_stop = self.control.should_save = True
        row = {"step": step, "epoch": round(float(self.state.epoch or 0), 6), "metric": self.validator.metric}
        self.journal.validation(
            {**row, **dataclasses.asdict(result), "n": len(self.validator.examples), "best": better}
        )
        told = self._watch.warning(result.value) if self._watch else None
        if told:
            self.journal.say(told)
        self._last = time.perf_counter()
        return {}

    def kept(self) -> dict[str, Tensor]:
        """The best validated state; the last one where nothing was validated.

        Raises:
            DataError: a weight is not finite.
        """
        values = self.trained.snapshot() if self.best is None else self.best
        self._require_finite_weights(values)
        return values

    def start_clock(self) -> None:
        """Begins the time of the next step."""
        self._last = time.perf_counter()

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Writes a checkpoint of ours in place of the library's."""
        weights = self.trained.snapshot()
        self._require_finite_weights(weights)
        state = State(
            step=self.state.global_step,
            weights=weights,
            best=self.best,
            optimiser=self.trained.optimiser(self._optimiser(), self.state.global_step),
            scheduler=self._scheduler().state_dict(),
            trainer={**dataclasses.asdict(self.state), "log_history": [], "stateful_callbacks": {}},
            verdict=self.verdict,
            base=record(self.loaded),
            generators=ranks.gathered(checkpoints.generator_states()),
        )
        if ranks.is_main():
            checkpoints.write(self.run_dir, self.folder, state)
        self._last = time.perf_counter()

    def _require_finite(self, finite: bool, what: str, step: int) -> None:
        if not finite:
            ids = ", ".join(name for names in ranks.gathered(self._ids) for name in names)
            raise DataError(
                f"the {what} of step {step} is not finite; its examples: {ids}. Nothing of it was "
                "saved. Look at these examples, or lower train.learning_rate; the same command continues from the last "
                "checkpoint."
            )

    def _require_finite_weights(self, weights: dict[str, Tensor]) -> None:
        broken = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
        self._require_finite(not broken, f"weight {broken[0]}" if broken else "weights", self.state.global_step)


class Schedule(TrainerCallback):
    """Says at each step's end what is due: a line, a validation, a checkpoint, the end."""

    def __init__(self, trainer: "AnswerTrainer") -> None:
        """Keeps the trainer whose settings decide."""
        self.trainer = trainer

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Opens the progress bar and starts the clock."""
        self.trainer.journal.begin(state.max_steps)
        self.trainer.start_clock()

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Tells sampler and examples which epoch it is, which order and augmentation depend on."""
        epoch = state.global_step // self.trainer.steps_an_epoch
        self.trainer.sampler.epoch = epoch
        self.trainer.examples.epoch = epoch

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Gives zeros to what no example of this step reached, as the vision tower where none has an image.

        Several ranks see a gradient of zero there and momentum moves the weights on; without this one rank would see no
        gradient, the optimiser would leave them out, and the two trainings would part.
        """
        if ranks.world() > 1:  # where the optimiser may hold pieces of weights, which get their gradients later
            return
        for group in given["optimizer"].param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Sets the flags that the trainer acts on: log, then validate, then save, then stop."""
        train, last = self.trainer.settings, state.global_step >= state.max_steps
        stop = self.trainer.interruption.agreed()
        control.should_log = True
        control.should_evaluate = self._due(train.validate, state, last)
        control.should_save = stop or self._due(train.checkpoint, state, last)
        control.should_training_stop = control.should_training_stop or stop

    def _due(self, when: int | str, state: TrainerState, last: bool) -> bool:
        if when == "never":
            return False
        every = when if isinstance(when, int) else self.trainer.steps_an_epoch
        return last or state.global_step % every == 0
