"""Puts back, one at a time, what the stock stack does: for each row of the table in docs/training.md a test must fail.

    python bench/stock_behaviour.py [ROW...]

Each change is made in a copy of the repository; the test named is run there as it stands, then with the change. Prints
the table; exit 1 where a test passes all the same, or fails without the change.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("finetune", "data_adapters", "recipes", "conf", "launch", "tests", "pyproject.toml")


@dataclass(frozen=True)
class Row:
    """One change.

    Attributes:
        number: of the row.
        stock: what the stock stack does, in words.
        file: where it is put back.
        ours: text that stands there once.
        theirs: text in its place.
        test: what must fail.
    """

    number: int
    stock: str
    file: str
    ours: str
    theirs: str
    test: str


ROWS = (
    Row(
        1,
        "the loss falls on the prompt and on image placeholders",
        "finetune/models/encoding.py",
        "labels[row, start : lengths[row]] = batch",
        "start = 0\n            labels[row, start : lengths[row]] = batch",
        "tests/models/test_encoding.py::test_labels_are_the_answer_with_its_blank_and_end_token_and_nothing_else",
    ),
    Row(
        2,
        "an overlong sample is passed on, to be cut inside an image",
        "finetune/training/sample_checks.py",
        "if tokens > limit:",
        "if False:",
        "tests/training/test_sample_checks.py::test_lengths_are_planned_and_an_overlong_sample_is_named",
    ),
    Row(
        3,
        "a sample that cannot be read goes without a word",
        "finetune/data/ingest.py",
        "                bad.append(done)\n                apply_policy(bad, config.data)\n",
        "                pass\n",
        "tests/data/test_ingest.py::test_bad_rows_and_bad_images_are_set_aside_together",
    ),
    Row(
        4,
        "LoRA by bare names lands in the vision tower too",
        "finetune/training/lora.py",
        "target_modules=linear or DUMMY_TARGET_MODULES",
        'target_modules=sorted({name.rpartition(".")[2] for name in linear}) or DUMMY_TARGET_MODULES',
        "tests/training/test_lora.py::test_lora_reaches_what_the_target_names_and_nothing_else",
    ),
    Row(
        5,
        "4 bits in the vision tower, whatever the short name in the skip list says",
        "finetune/models/quantisation.py",
        "llm_int8_skip_modules=[*family.vision_tower, *family.projector, *family.head, *family.linear_skip]",
        'llm_int8_skip_modules=["vision_model"]',
        "tests/training/test_lora.py::test_four_bit_base_stays_four_bit_and_learns",
    ),
    Row(
        6,
        "a frozen tower keeps its activations",
        "finetune/training/frozen_tower.py",
        "if learns or any(value.requires_grad for value in inputs):",
        "if True:",
        "tests/training/test_frozen_tower.py::test_a_frozen_tower_keeps_no_activation_even_with_differentiable_inputs",
    ),
    Row(
        7,
        "position embeddings that nobody named train along",
        "finetune/training/lora.py",
        "    for parameter in model.parameters():\n        if parameter.requires_grad:",
        '    for name, parameter in model.named_parameters():\n        if "position_embedding" in name:\n'
        "            parameter.requires_grad_(True)\n        if parameter.requires_grad:",
        "tests/training/test_lora.py::test_frozen_tensors_keep_every_bit",
    ),
    Row(
        8,
        "a loss that is no number goes unnoticed, and every weight with it",
        "finetune/training/trainer.py",
        "        if not finite:\n",
        "        if False:\n",
        "tests/pipeline/test_train.py::test_a_loss_that_is_not_finite_stops_the_run_and_names_the_examples",
    ),
    Row(
        15,
        "a rank without an image stays out of the tower, and the others wait for ever",
        "finetune/training/collator.py",
        "if not self.seeing or any(images):",
        "if True:",
        "tests/training/test_methods.py::test_an_item_without_weight_and_a_grey_picture_leave_no_label",
    ),
    Row(
        16,
        "merged weights that answer otherwise are published",
        "finetune/pipeline/export.py",
        'if parity["max_abs_logit_difference"] > parity["tolerance"] or same < parity["n"]:',
        "if False:",
        "tests/pipeline/test_export.py::test_weights_that_answer_otherwise_are_not_published",
    ),
    Row(
        17,
        "images shrink until defects vanish, and nobody says so",
        "finetune/preflight/memory_check.py",
        "if measured.defects and cell is not None and measured.defects[0] < cell:",
        "if False:",
        "tests/preflight/test_fit.py::test_defects_smaller_than_an_image_token_are_told",
    ),
    Row(
        18,
        "boxes keep their pixels when the image is scaled",
        "finetune/scoring/box_text.py",
        "Placed(b.label, (b.x1 * SCALE / width, b.y1 * SCALE / height, b.x2 * SCALE / width, b.y2 * SCALE / height))",
        "Placed(b.label, (b.x1, b.y1, b.x2, b.y2))",
        "tests/scoring/test_box_text.py::test_pixels_become_thousandths_without_rounding",
    ),
    Row(
        19,
        "the last state is kept, however good the loss and bad the task",
        "finetune/training/trainer.py",
        "better = not self.verdict or result >",
        "better = True or result >",
        "tests/pipeline/test_train.py::test_the_adapter_is_the_best_validated_state",
    ),
    Row(
        20,
        "accumulated batches are averaged one by one",
        "finetune/training/loss.py",
        'reduction="sum") / tokens',
        'reduction="mean")',
        "tests/training/test_loss.py::test_four_batches_of_one_are_one_batch_of_four",
    ),
)


def passes(copy: Path, test: str) -> bool:
    """Runs one test in the copy.

    Raises:
        SystemExit: there is no such test.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", test]
    done = subprocess.run(
        command, cwd=copy, env=os.environ | {"PYTHONPATH": str(copy)}, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        sys.exit(f"{test}: pytest ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


def broken(copy: Path, row: Row) -> tuple[bool, bool]:
    """Whether the test of a row passes without and with the change, which is taken back.

    Raises:
        SystemExit: the text to be changed does not stand there once.
    """
    path = copy / row.file
    text = path.read_text(encoding="utf-8")
    if text.count(row.ours) != 1:
        sys.exit(f"row {row.number}: {row.ours!r} stands {text.count(row.ours)} times in {row.file}, expected once")
    before = passes(copy, row.test)
    path.write_text(text.replace(row.ours, row.theirs), encoding="utf-8")
    after = passes(copy, row.test)
    path.write_text(text, encoding="utf-8")
    return before, after


def main() -> None:
    """Prints the table."""
    wanted = {int(number) for number in sys.argv[1:]} or {row.number for row in ROWS}
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in PARTS:
            kept = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            kept(ROOT / part, copy / part)
        print("| row | put back | in | test | as it stands | put back |\n|---|---|---|---|---|---|", flush=True)
        for row in (row for row in ROWS if row.number in wanted):
            before, after = broken(copy, row)
            wrong += [row.number] * (after or not before)
            told = ["passes" if done else "fails" for done in (before, after)]
            print(f"| {row.number} | {row.stock} | {row.file} | `{row.test}` | {' | '.join(told)} |", flush=True)
    sys.exit(f"rows {wrong}: the test passes all the same, or fails without the change" if wrong else 0)


if __name__ == "__main__":
    main()
