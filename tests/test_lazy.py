"""What is imported before a model is asked: reading data, comparing and reporting need no torch."""

import subprocess
import sys

HEAVY = ("torch", "transformers", "peft", "datasets", "trl")


def test_stages_that_ask_no_model_load_no_model_library():
    code = (
        "import sys\n"
        "from finetune.pipeline import runner\n"
        "from finetune.cli import predict\n"
        "from finetune.pipeline import evaluate, prepare, report\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
