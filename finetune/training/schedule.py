"""When the trainer logs, validates, saves and stops: functions of the step alone, so that a resume finds the same."""

from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune.training import ranks

if TYPE_CHECKING:
    from finetune.training.sft import AnswerTrainer


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
