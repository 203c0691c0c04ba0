"""What training changes, whole on every rank: as it is, or gathered where DeepSpeed divides it among the ranks.

Both forms write the same checkpoint, in the words of one process, so that it loads on any number of ranks.
"""

from typing import Any

import torch
from torch import Tensor, nn

from finetune.rundir import Json
from finetune.training import lora

MOMENTS = ("exp_avg", "exp_avg_sq")
"""State of AdamW, the optimiser that may be divided."""


class Trained:
    """Parameters and optimiser state of a training that no rank shares.

    Args:
        model: the adapted model.
    """

    def __init__(self, model: nn.Module) -> None:
        """Remembers the model."""
        self.model = model

    def snapshot(self) -> dict[str, Tensor]:
        """Copies of everything that trains, on the CPU."""
        return lora.snapshot(self.model)

    def restore(self, values: dict[str, Tensor]) -> None:
        """Writes a snapshot back."""
        lora.restore(self.model, values)

    def optimiser(self, wrapped: Any, step: int) -> Json:
        """`state_dict()` of the optimiser."""
        state: Json = wrapped.state_dict()
        return state

    def load_optimiser(self, wrapped: Any, state: Json) -> None:
        """Writes the optimiser's state back."""
        wrapped.load_state_dict(state)


class Divided(Trained):
    """The same where DeepSpeed divides state, gradients or weights among the ranks; every method runs on all of them.

    Args:
        model: the adapted model.
        groups: parameters of each optimiser group, noted before they were divided.
    """

    def __init__(self, model: nn.Module, groups: list[list[nn.Parameter]]) -> None:
        """Stores the arguments."""
        super().__init__(model)
        self.groups = groups

    def snapshot(self) -> dict[str, Tensor]:
        """Gathers everything that trains, in fp32, on the CPU."""
        from deepspeed.utils import safe_get_full_fp32_param

        return {
            name: safe_get_full_fp32_param(parameter).cpu().clone() for name, parameter in lora.trainable(self.model)
        }

    def restore(self, values: dict[str, Tensor]) -> None:
        """Writes a snapshot into the master weights and into those that the model computes with."""
        import deepspeed
        from deepspeed.utils import safe_set_full_fp32_param

        parameters = dict(lora.trainable(self.model))
        lora.require_same(parameters, values)
        for name, parameter in parameters.items():
            safe_set_full_fp32_param(parameter, values[name].to(parameter.device))
            with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0), torch.no_grad():
                parameter.copy_(values[name])

    def optimiser(self, wrapped: Any, step: int) -> Json:
        """What `state_dict()` of an undivided AdamW would say."""
        from deepspeed.utils import safe_get_full_optimizer_state

        if not _is_stage3(self.groups):
            _link(wrapped.optimizer)
        state, described, index = {}, [], 0
        for members, group in zip(self.groups, _inner(wrapped).param_groups, strict=True):
            described.append({name: value for name, value in group.items() if name != "params"})
            described[-1]["params"] = list(range(index, index + len(members)))
            for parameter in members:
                moments = {key: safe_get_full_optimizer_state(parameter, key).cpu().clone() for key in MOMENTS}
                state[index] = {"step": torch.tensor(float(step)), **moments}
                index += 1
        return {"state": state, "param_groups": described}

    def load_optimiser(self, wrapped: Any, state: Json) -> None:
        """Divides the state of an undivided AdamW."""
        from deepspeed.utils import safe_set_full_optimizer_state

        divided, inner = wrapped.optimizer, _inner(wrapped)
        stage3 = _is_stage3(self.groups)
        flats = divided.fp32_partitioned_groups_flat if stage3 else divided.single_partition_of_fp32_groups
        for flat in flats:
            step = state["state"][0]["step"].clone()
            inner.state[flat] = {"step": step, **{key: torch.zeros_like(flat) for key in MOMENTS}}
        if not stage3:
            _link(divided)
        for group, saved in zip(inner.param_groups, state["param_groups"], strict=True):
            group.update({name: value for name, value in saved.items() if name != "params"})
        for index, parameter in enumerate(parameter for members in self.groups for parameter in members):
            for key in MOMENTS:
                value = state["state"][index][key].to(parameter.device)
                safe_set_full_optimizer_state(parameter, value, key)


def _inner(wrapped: Any) -> torch.optim.Optimizer:
    """The optimiser of torch inside DeepSpeed's, inside accelerate's."""
    inner: torch.optim.Optimizer = wrapped.optimizer.optimizer
    return inner


def _link(divided: Any) -> None:
    """Lets each parameter find its state: DeepSpeed 0.19 does so after the first group's step, for that alone."""
    divided._hp_optimizer_states_linked = False
    divided._lazy_init_hp_params_optimizer_state()


def _is_stage3(groups: list[list[nn.Parameter]]) -> bool:
    from deepspeed.runtime.zero.partition_parameters import is_zero_param

    return bool(is_zero_param(groups[0][0]))
