"""What a batch may change: memory, rounding, and the share of labels that training evened out."""

import dataclasses

import pytest
import torch

from finetune.config.schema import TaskConfig
from finetune.predictors import local

LABELS = ("no defect", "scratch", "open", "open circuit")


def ask(loaded, root, examples, batch_size, who, modes=("score", "generate")):
    return list(predictor_of(loaded, batch_size).predict_modes(examples, root, modes, who))


def predictor_of(loaded, size, **settings):
    return local.LocalPredictor(loaded, LABELS, TaskConfig(), size, "micro", **settings)


def out_of_memory_above(monkeypatch, most, error):
    """Memory for `most` prompts."""
    inner = local.prefill

    def prefill(model, inputs, family):
        if len(inputs["input_ids"]) > most:
            raise error
        return inner(model, inputs, family)

    monkeypatch.setattr(local, "prefill", prefill)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory"), MemoryError()]
)
def test_too_large_a_batch_is_halved(loaded, root, examples, monkeypatch, capsys, error):
    whole = ask(loaded, root, examples, 5, "tuned")
    out_of_memory_above(monkeypatch, 2, error)
    predictor = predictor_of(loaded, 5)
    found = list(predictor.predict_modes(examples, root, ("score", "generate"), "tuned"))
    assert [(a.id, a.answer, b.text) for a, b in found] == [(a.id, a.answer, b.text) for a, b in whole]
    assert predictor.batch_size == 2
    assert "out of memory; going on with batches of 2" in capsys.readouterr().err


def test_no_memory_for_one_example_is_an_error(loaded, root, examples, monkeypatch):
    out_of_memory_above(monkeypatch, 0, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(torch.OutOfMemoryError):
        list(predictor_of(loaded, 4).predict(examples, root, "score", "base"))


def test_other_errors_are_not_taken_for_memory(loaded, root, examples, monkeypatch):
    out_of_memory_above(monkeypatch, 2, RuntimeError("Expected all tensors to be on the same device"))
    with pytest.raises(RuntimeError, match="same device"):
        list(predictor_of(loaded, 4).predict(examples, root, "score", "base"))


def test_the_largest_images_are_tried_first(loaded, root, examples, monkeypatch):
    """Picture n is 32 + 5n wide; the third example has two of them."""
    predictor, seen = predictor_of(loaded, 2), []
    monkeypatch.setattr(
        predictor, "_batch", lambda batch, *rest: [seen.append([e.id for e in batch]) or [1] * len(batch)]
    )
    predictor.probe(examples, root, "score", "base")
    assert seen == [["e2", "e4"]]


def test_batches_are_checked_against_single_examples(loaded, root, examples, monkeypatch, capsys):
    predictor = predictor_of(loaded, 5)
    found = predictor.facts(examples, root, "score", "tuned")
    assert found["batches"] | {"max_difference": 0.0} == {
        **{"n": 4, "answers_equal": 4, "max_difference": 0.0, "dtype": "float32", "batch_size": 4}
    }
    assert found["batches"]["max_difference"] < 1e-5
    assert (found["asked_batch_size"], found["device"], found["base"]) == (5, "cpu", None)
    inner = predictor._answered

    def rounded(batch, *rest):
        """What bf16 may do: another answer in a batch than alone."""
        rows = inner(batch, *rest)
        return [(dataclasses.replace(row[0], answer=f"{len(batch)}"),) for row in rows]

    monkeypatch.setattr(predictor, "_answered", rounded)
    assert predictor.check_batches(examples, root, "score", "tuned")["answers_equal"] == 0
    assert "4 of 4 answers change with the batch" in capsys.readouterr().err


def test_a_shifted_share_is_put_back_into_probabilities_but_not_into_answers(loaded, root, examples):
    prior = {"no defect": 4.0, "scratch": 0.5, "open": 1.0, "open circuit": 1.0}
    plain = list(predictor_of(loaded, 5).predict(examples, root, "score", "tuned"))
    shifted = list(predictor_of(loaded, 5, prior=prior).predict(examples, root, "score", "tuned"))
    for before, after in zip(plain, shifted, strict=True):
        weighted = {label: p * prior[label] for label, p in before.probabilities.items()}
        expected = {label: p / sum(weighted.values()) for label, p in weighted.items()}
        assert after.probabilities == pytest.approx(expected, abs=1e-6)
        assert after.answer == before.answer == max(after.deciding, key=after.deciding.get)
        assert after.deciding == after.even_probabilities == pytest.approx(before.probabilities, abs=1e-6)
        assert before.even_probabilities is None
    base = list(predictor_of(loaded, 5, prior=prior).predict(examples[:1], root, "score", "base"))
    assert base[0].probabilities == pytest.approx(
        next(predictor_of(loaded, 5).predict(examples[:1], root, "score", "base")).probabilities
    )
