"""What is imported before a model is asked: reading data, comparing and reporting need no torch."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "peft", "datasets", "trl")


def test_stages_that_ask_no_model_load_no_model_library():
    code = (
        "import sys\n"
        "from finetune import runner\n"
        "from finetune.cli import predict\n"
        "from finetune.pipeline import evaluate, prepare, report\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


LEAVE_OUT = "from finetune import __main__ as cli, compose\ncli._leave_out(compose.compose(['recipe=defects', *{}]))\n"
INSTALLED = (
    "import importlib.util\nprint([n for n in ('bitsandbytes', 'deepspeed') if importlib.util.find_spec(n) is None])"
)


@pytest.mark.parametrize(
    ("words", "hidden"),
    [
        ([], ["bitsandbytes", "deepspeed"]),
        (["method=qlora"], ["deepspeed"]),
        (["train.trainer.optim=adamw_8bit"], ["deepspeed"]),
        (["launch=torchrun", "launch.processes=2", "hardware=zero2"], ["bitsandbytes"]),
    ],
)
def test_a_run_hides_the_packages_that_it_has_no_use_for(words, hidden):
    """torch, and whoever asks whether a package is installed, is told nothing else."""
    assert told(LEAVE_OUT.format(words) + INSTALLED) == [str(hidden)]


def test_peft_believes_it():
    """PEFT imports bitsandbytes wherever it is installed, by a question of its own; importing PEFT takes seconds."""
    assert told(LEAVE_OUT.format([]) + "import peft.import_utils as seen\nprint(seen.is_bnb_available())") == ["False"]


def told(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
