import pytest

from finetune.config import compose
from finetune.errors import ConfigError


def refusal(*overrides):
    with pytest.raises(ConfigError) as caught:
        compose.compose(["recipe=defects", *overrides])
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["launch.processes=0"], "launch.processes: got 0, expected at least 1"),
        (["launch.processes=2"], "2 processes need launch=torchrun or launch=slurm"),
        (["launch.dry_run=true"], "there is no job to print; add launch=torchrun or launch=slurm"),
        (["launch=torchrun", "launch.nodes=2"], "several nodes are found through Slurm; use launch=slurm"),
        (["launch=slurm", "launch.nodes=2"], "need a network to meet in, as in 10.0.0.0/24"),
        (["launch=slurm", "launch.rendezvous=10.0.0.1/24"], "expected a network such as 10.0.0.0/24"),
        (["launch=torchrun", "launch.options.partition=gpu"], "are options of sbatch; they need launch=slurm"),
        (["launch=slurm", "launch.options.output=x"], "launch.options.output: is set by the template"),
        (["launch=slurm", "launch.options.Wrap=x"], "launch.options.Wrap: is no name of an option"),
        (["launch=slurm", "launch.options.comment='a b'"], "got 'a b', expected one word or a number"),
        (["launch=torchrun", "launch.processes=3"], "make it a multiple of 3, as with train.accumulate=3"),
        (["hardware=zero2"], "there is nothing to divide in one process; add launch=torchrun"),
        (["hardware=zero3", "launch=torchrun", "method=qlora"], "4-bit weights cannot be divided among ranks"),
        (
            ["hardware=zero1", "launch=torchrun", "train.trainer.optim=sgd"],
            "under hardware.deepspeed it is adamw_torch",
        ),
    ],
)
def test_what_cannot_be_launched_is_refused(given, told):
    assert told in refusal(*given)


@pytest.mark.parametrize(
    "given",
    [
        ["launch=torchrun"],
        ["launch=torchrun", "hardware=zero2", "method=qlora"],
        ["launch=slurm", "launch.nodes=2", "launch.rendezvous=10.1.0.0/16", "launch.options.gres=gpu:2"],
    ],
)
def test_what_can_be(given):
    assert compose.compose(["recipe=defects", *given]).launch.kind in ("torchrun", "slurm")


def test_how_it_is_launched_is_no_part_of_what_is_trained():
    plain, several = (
        compose.compose(["recipe=defects", *more]) for more in ([], ["launch=torchrun", "hardware=zero2"])
    )
    assert compose.run_folder(plain) == compose.run_folder(several)
