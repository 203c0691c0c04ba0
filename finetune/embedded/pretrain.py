"""Train the embedded model from nothing: `python -m finetune.embedded.pretrain`.

Five phases: the tower on dense labels, then projector and language model in front of the frozen tower, then the tower
on places, then the language model again, then all together. The same command continues where a stopped one left off.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed, multiprocessing
from transformers import Idefics3ForConditionalGeneration, PreTrainedTokenizerFast

from finetune.embedded.architecture import build_config, build_model, spread_unseen
from finetune.embedded.card import phase_record, write_card
from finetune.embedded.evaluate import evaluate
from finetune.embedded.language import BOS, EOS, IMAGE, PAD, build_processor
from finetune.embedded.language_phase import PackedQuestions, answer_loss, joint_loss, probe_answers, seen_ids, stack
from finetune.embedded.tower import (
    DenseHeads,
    DenseSurfaces,
    dense_loss,
    encode,
    new_place_head,
    place_accuracy,
    place_loss,
    probe,
)
from finetune.embedded.training_loop import MasterWeights, Schedule, run_phase

PACKAGED = Path(__file__).parent / "tiny"
PROBE_SEED = 10**12
QUESTIONS_PER_IMAGE = 6


@dataclass(frozen=True)
class Plan:
    """What to train: images and peak learning rate by phase, and on how many processes (one thread each)."""

    tower_images: int = 115_200
    language_images: int = 13_568
    place_images: int = 22_400
    answers_images: int = 8_000
    joint_images: int = 3_200
    tower_batch: int = 32
    language_batch: int = 16
    processes: int = 2
    seed: int = 0
    vision_layers: int = 5
    probe_images: int = 320
    stop_after_steps: int | None = None

    def tower(self) -> Schedule:
        """Schedule of the first phase."""
        return Schedule(self.tower_images // self.tower_batch, self.tower_batch, 8e-4, 300)

    def language(self) -> Schedule:
        """Schedule of the second phase."""
        return Schedule(self.language_images // self.language_batch, self.language_batch, 1.2e-3, 100)

    def place(self) -> Schedule:
        """Schedule of the third phase."""
        return Schedule(self.place_images // self.tower_batch, self.tower_batch, 6e-4, 30)

    def answers(self) -> Schedule:
        """Schedule of the fourth phase."""
        return Schedule(self.answers_images // self.language_batch, self.language_batch, 8e-4, 30)

    def joint(self) -> Schedule:
        """Schedule of the fifth phase."""
        return Schedule(self.joint_images // self.language_batch, self.language_batch, 2e-4, 30)

    def first_seed(self, phase: int) -> int:
        """Where the surface stream of a phase starts; streams never meet each other nor the probe's."""
        return self.seed * 10**10 + phase * 10**9


def new_model(tokenizer: PreTrainedTokenizerFast, plan: Plan) -> Idefics3ForConditionalGeneration:
    """The untrained model in bf16, fitted to the tokenizer."""
    vocabulary = tokenizer.get_vocab()
    pad, bos, eos, image = (vocabulary[token] for token in (PAD, BOS, EOS, IMAGE))
    model = build_model(build_config(len(tokenizer), image, pad, bos, eos, plan.vision_layers), plan.seed).bfloat16()
    model.set_attn_implementation("bf16_full")
    return model


def new_heads(plan: Plan) -> DenseHeads:
    """Untrained read-outs."""
    torch.manual_seed(plan.seed)
    return DenseHeads()


def train_tower(model: Idefics3ForConditionalGeneration, heads: DenseHeads, plan: Plan, folder: Path) -> list[float]:
    """Phase one; returns the losses of this call."""
    tower = model.model.vision_model
    return run_phase(
        "tower",
        folder,
        MasterWeights({"tower": tower, "heads": heads}, 0.05),
        plan.tower(),
        DenseSurfaces(plan.first_seed(0)),
        lambda batch: dense_loss(heads(encode(tower, batch["pixels"])), batch),
        probe=lambda: probe(tower, heads, PROBE_SEED, plan.probe_images),
        stop_after=plan.stop_after_steps,
    )


def train_language(
    model: Idefics3ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, plan: Plan, folder: Path, late: bool
) -> list[float]:
    """Phase two, or phase four when `late`; returns the losses of this call."""
    return run_phase(
        "answers" if late else "language",
        folder,
        MasterWeights({"connector": model.model.connector, "text": model.model.text_model}, 0.05),
        plan.answers() if late else plan.language(),
        PackedQuestions(plan.first_seed(4 if late else 1), tokenizer, QUESTIONS_PER_IMAGE, late),
        lambda batch: answer_loss(model, batch),
        collate=stack,
        probe_every=250,
        probe=lambda: probe_answers(model, tokenizer, PROBE_SEED, plan.probe_images),
        stop_after=plan.stop_after_steps,
    )


def train_place(
    model: Idefics3ForConditionalGeneration, heads: DenseHeads, place: torch.nn.Linear, plan: Plan, folder: Path
) -> list[float]:
    """Phase three; returns the losses of this call."""
    tower = model.model.vision_model

    def loss_of(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        features = encode(tower, batch["pixels"])
        return dense_loss(heads(features), batch) + 2.0 * place_loss(place, features, batch["patch_kind"])

    return run_phase(
        "place",
        folder,
        MasterWeights({"tower": tower, "heads": heads, "place": place}, 0.05),
        plan.place(),
        DenseSurfaces(plan.first_seed(3)),
        loss_of,
        probe_every=100,
        probe=lambda: {"place": place_accuracy(tower, place, PROBE_SEED, plan.probe_images)},
        stop_after=plan.stop_after_steps,
    )


def train_joint(
    model: Idefics3ForConditionalGeneration,
    heads: DenseHeads,
    place: torch.nn.Linear,
    tokenizer: PreTrainedTokenizerFast,
    plan: Plan,
    folder: Path,
) -> list[float]:
    """Phase five; returns the losses of this call."""
    modules = {
        "connector": model.model.connector,
        "text": model.model.text_model,
        "tower": model.model.vision_model,
        "heads": heads,
        "place": place,
    }
    return run_phase(
        "joint",
        folder,
        MasterWeights(modules, 0.05),
        plan.joint(),
        PackedQuestions(plan.first_seed(2), tokenizer, QUESTIONS_PER_IMAGE, late=True),
        lambda batch: joint_loss(model, heads, place, batch),
        collate=stack,
        probe_every=150,
        probe=lambda: probe_answers(model, tokenizer, PROBE_SEED, plan.probe_images),
        stop_after=plan.stop_after_steps,
    )


def _worker(rank: int, plan: Plan, folder: Path, rendezvous: str) -> Idefics3ForConditionalGeneration:
    """All phases in one of `plan.processes` processes."""
    torch.set_num_threads(1)
    if plan.processes > 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=plan.processes)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "processor")
    model = new_model(tokenizer, plan)
    heads = new_heads(plan)
    train_tower(model, heads, plan, folder)
    train_language(model, tokenizer, plan, folder, late=False)
    place = new_place_head(plan.seed)
    train_place(model, heads, place, plan, folder)
    train_language(model, tokenizer, plan, folder, late=True)
    train_joint(model, heads, place, tokenizer, plan, folder)
    if plan.processes > 1:
        distributed.destroy_process_group()
    return model


def train(plan: Plan, folder: Path) -> Idefics3ForConditionalGeneration:
    """Train or continue in `folder`; returns the model in bf16.

    This process is the first worker: should it be killed, the others fail at their next exchange and end too.
    """
    with tempfile.TemporaryDirectory() as meeting:
        rendezvous = f"{meeting}/rendezvous"
        context = multiprocessing.get_context("spawn")
        others = [
            context.Process(target=_worker, args=(rank, plan, folder, rendezvous)) for rank in range(1, plan.processes)
        ]
        for process in others:
            process.start()
        model = _worker(0, plan, folder, rendezvous)
        for process in others:
            process.join()
    return model


def save(model: Idefics3ForConditionalGeneration, out: Path) -> None:
    """Write weights (bf16, one safetensors file), configuration, tokenizer and processor."""
    processor = build_processor()
    spread_unseen(model, torch.tensor(seen_ids(processor.tokenizer)))
    model.set_attn_implementation("sdpa")
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    processor.save_pretrained(out)
    for path in out.iterdir():
        path.chmod(0o644)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    plan = Plan()
    parser = argparse.ArgumentParser(prog="python -m finetune.embedded.pretrain", description=__doc__)
    parser.add_argument("--out", type=Path, default=PACKAGED, help="folder of the finished model")
    parser.add_argument("--checkpoints", type=Path, default=Path("pretraining"), help="folder to continue from")
    parser.add_argument("--resume", choices=("auto", "never"), default="auto", help="never: discard checkpoints")
    parser.add_argument("--tower-images", type=int, default=plan.tower_images)
    parser.add_argument("--language-images", type=int, default=plan.language_images)
    parser.add_argument("--place-images", type=int, default=plan.place_images)
    parser.add_argument("--answers-images", type=int, default=plan.answers_images)
    parser.add_argument("--joint-images", type=int, default=plan.joint_images)
    parser.add_argument("--processes", type=int, default=plan.processes)
    # from seed 100 on the streams would run into the surfaces that figures are measured on
    parser.add_argument("--seed", type=int, default=plan.seed, choices=range(100), metavar="0-99")
    parser.add_argument("--evaluate-only", action="store_true", help="print the figures of --out as JSON and stop")
    parser.add_argument("--note", default="", help="a sentence for the model card on how this run went")
    parser.add_argument("--evaluation-images", type=int, default=1_000)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Command line: train, save, evaluate, write the card."""
    arguments = _arguments(argv)
    if not arguments.evaluate_only:
        plan = Plan(
            tower_images=arguments.tower_images,
            language_images=arguments.language_images,
            place_images=arguments.place_images,
            answers_images=arguments.answers_images,
            joint_images=arguments.joint_images,
            processes=arguments.processes,
            seed=arguments.seed,
        )
        arguments.checkpoints.mkdir(parents=True, exist_ok=True)
        if arguments.resume == "never":
            for path in arguments.checkpoints.glob("*.pt"):
                path.unlink()
        build_processor().save_pretrained(arguments.checkpoints / "processor")
        model = train(plan, arguments.checkpoints)
        torch.set_num_threads(plan.processes)
        save(model, arguments.out)
    figures = evaluate(arguments.out, arguments.evaluation_images)
    if not arguments.evaluate_only:
        batches = {
            "tower": plan.tower_batch,
            "language": plan.language_batch,
            "place": plan.tower_batch,
            "answers": plan.language_batch,
            "joint": plan.language_batch,
        }
        phases = phase_record(arguments.checkpoints, batches)
        write_card(arguments.out, figures, arguments.evaluation_images, phases, arguments.note)
    json.dump(figures, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
