"""What is imported before a model is asked: reading data, comparing and reporting need no torch."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "peft", "datasets", "trl")


def test_stages_that_ask_no_model_load_no_model_library():
    code = (
        "import sys\n"
        "from finetune import runner\n"
        "from finetune.verbs import predict\n"
        "from finetune.stages import evaluate, prepare, report\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


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
    """PEFT imports bitsandbytes, and accelerate DeepSpeed, wherever they are installed; torch is told nothing else."""
    code = (
        "import importlib.util\n"
        "from finetune import __main__ as cli, compose\n"
        f"cli._leave_out(compose.compose(['recipe=defects', *{words}]))\n"
        "import peft.import_utils as seen\n"
        "print([name for name in ('bitsandbytes', 'deepspeed') if importlib.util.find_spec(name) is None])\n"
        "print(seen.is_bnb_available())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(hidden), str("bitsandbytes" not in hidden)]
