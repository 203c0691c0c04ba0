"""Where transformers' Trainer would read a checkpoint of its own, it gets one of ours, on any number of ranks."""

from typing import Any

import torch
from transformers import Trainer

from finetune.training import checkpoints, ranks
from finetune.training.checkpoints import State
from finetune.training.trainable_state import Trained


class ResumingTrainer(Trainer):
    """A Trainer that continues from `_resumed`, a checkpoint that was verified and read before.

    Attributes:
        trained: what of the model trains.
    """

    trained: Trained
    _resumed: State | None

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None) -> Any:
        """Wraps the model; the library's own way of loading a divided checkpoint is left out, for ours is whole."""
        if not self.is_deepspeed_enabled or resume_from_checkpoint is None:
            return super()._prepare_for_training(max_steps, train_dataloader, resume_from_checkpoint)  # type: ignore[no-untyped-call]
        prepared = super()._prepare_for_training(max_steps, train_dataloader, None)  # type: ignore[no-untyped-call]
        self._load_from_checkpoint(resume_from_checkpoint)
        self._load_optimizer_and_scheduler(resume_from_checkpoint)
        return prepared

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        state = self._state()
        self.trained.restore(state.weights)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            self.trained.load_optimiser(self._optimiser(), self._state().optimiser)
            self._scheduler().load_state_dict(self._state().scheduler)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Each rank gets the generators that it had; a rank that is new keeps its own."""
        if checkpoint is not None and ranks.rank() < len(self._state().generators):
            checkpoints.restore_generators(self._state().generators[ranks.rank()])

    def _load_scaler(self, checkpoint: str | None) -> None:
        """There is none: fp16 is refused."""

    def _state(self) -> State:
        assert self._resumed is not None, "resuming starts in run_from"
        return self._resumed

    def _optimiser(self) -> torch.optim.Optimizer:
        assert self.optimizer is not None, "made when training begins"
        return self.optimizer

    def _scheduler(self) -> torch.optim.lr_scheduler.LRScheduler:
        assert self.lr_scheduler is not None, "made when training begins"
        return self.lr_scheduler
