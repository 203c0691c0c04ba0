"""Label scores and generated answers of a tiny Idefics3 against the plainest way to compute them."""

import dataclasses
import math
from types import ModuleType

import pytest
import torch

from finetune.config.schema import Config, ModelConfig, TaskConfig
from finetune.images import decode
from finetune.models import load as models
from finetune.predictors import local

LABELS = ("no defect", "scratch", "open", "open circuit")
SYNONYMS = {"scratch": ("scrape", "a long scratch")}


def decoded(root, examples):
    return [[decode.load(root, ref) for ref in example.images] for example in examples]


def full_forward(model, encoder, example, images, label):
    """The definition, without cache, batch or padding: log-probabilities of the supervised tokens, added up."""
    batch = encoder.supervised([dataclasses.replace(example, target=label)], [images])
    labels = batch.pop("labels")[0, 1:]
    with torch.no_grad():
        logits = model(**batch).logits[0, :-1].double().log_softmax(-1)
    kept = labels != -100
    return logits[kept].gather(-1, labels[kept].unsqueeze(-1)).sum().item()


def test_scores_equal_one_full_forward_a_label(loaded, encoder, root, examples):
    images = decoded(root, examples)
    scores = local.score_labels(loaded.model, encoder, examples, images, LABELS)
    expected = [
        [full_forward(loaded.model, encoder, e, i, label) for label in LABELS]
        for e, i in zip(examples, images, strict=True)
    ]
    torch.testing.assert_close(scores, torch.tensor(expected), atol=1e-4, rtol=0)


def test_the_end_token_counts(loaded, encoder, root, examples):
    """Without it a label could never lose to a longer one that begins with it."""
    ends = {encoder.answer_ids(example, label)[-1] for example in examples for label in LABELS}
    assert ends == {encoder.end_id}


def test_synonyms_add_their_probability(loaded, encoder, root, examples):
    images = decoded(root, examples)
    plain = local.score_labels(loaded.model, encoder, examples, images, ("scratch", "scrape", "a long scratch", "open"))
    summed = local.score_labels(loaded.model, encoder, examples, images, ("scratch", "open"), SYNONYMS)
    torch.testing.assert_close(summed[:, 0].exp(), plain[:, :3].exp().sum(1), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(summed[:, 1], plain[:, 3], atol=1e-4, rtol=0)


def ask(loaded, root, examples, batch_size, who, modes=("score", "generate")):
    predictor = local.LocalPredictor(loaded, LABELS, TaskConfig(synonyms=SYNONYMS), batch_size, "micro")
    return list(predictor.predict_modes(examples, root, modes, who))


@pytest.mark.parametrize("who", ["base", "tuned"])
def test_answers_do_not_depend_on_the_batch(loaded, root, examples, who):
    whole, alone = ask(loaded, root, examples, 5, who), ask(loaded, root, examples, 1, who)
    for (scored, written), (scored_alone, written_alone) in zip(whole, alone, strict=True):
        assert scored.probabilities == pytest.approx(scored_alone.probabilities, abs=1e-5)
        assert (scored.answer, written.text) == (scored_alone.answer, written_alone.text)
        assert (written.answer, written.outcome) == (written_alone.answer, written_alone.outcome)


def test_base_is_the_untouched_model_and_tuned_is_not(loaded, folder, root, examples):
    config = dataclasses.replace(Config(), model=ModelConfig(path=str(folder)))
    plain = ask(models.load(config), root, examples, 5, "base")
    base, tuned = (ask(loaded, root, examples, 5, who) for who in ("base", "tuned"))
    for (expected, text), (got, got_text), (other, _) in zip(plain, base, tuned, strict=True):
        assert got.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
        assert got_text.text == text.text
        assert other.probabilities != pytest.approx(expected.probabilities, abs=1e-3)
        assert (got.model, other.model) == (expected.model, f"{expected.model}+adapter")
        assert got.model.startswith("micro@")


def test_answers_name_the_weights_of_base_and_adapter(loaded, root, examples):
    predictor = local.LocalPredictor(loaded, LABELS, TaskConfig(), 1, "micro", "0123456789abcdef")
    names = [next(predictor.predict(examples[:1], root, "score", who)).model for who in ("base", "tuned")]
    assert names == [f"micro@{loaded.sha256[:12]}", f"micro@{loaded.sha256[:12]}+adapter@0123456789ab"]


def test_a_scored_answer_is_the_most_probable_label(loaded, root, examples):
    for scored, example in zip(ask(loaded, root, examples, 2, "tuned", ("score",)), examples, strict=True):
        (prediction,) = scored
        assert math.isclose(sum(prediction.probabilities.values()), 1, abs_tol=1e-6)
        assert set(prediction.probabilities) == set(LABELS)
        best = max(prediction.probabilities, key=prediction.probabilities.__getitem__)
        assert prediction.text == prediction.answer == best
        assert prediction.outcome == ("correct" if best == example.target else "wrong")
        assert (prediction.id, prediction.group, prediction.gold) == (example.id, example.group, example.target)
        assert prediction.image_sha256 == decode.digest([decode.load(root, ref) for ref in example.images])
        assert prediction.seconds > 0


def test_generation_equals_transformers_generate(loaded, encoder, root, examples):
    longest = max(len(encoder.answer_ids(examples[0], label)) for label in (*LABELS, *SYNONYMS["scratch"]))
    for (written,), example in zip(ask(loaded, root, examples, 5, "tuned", ("generate",)), examples, strict=True):
        batch = encoder.prompts([example], decoded(root, [example]))
        tokens = loaded.model.generate(**batch, do_sample=False, max_new_tokens=longest + local.SLACK_TOKENS)[0]
        new = tokens[batch["input_ids"].shape[1] :]
        assert written.text == encoder.tokenizer.decode(new, skip_special_tokens=True)
        assert (written.outcome == "truncated") == (encoder.end_id not in new.tolist())
        assert written.probabilities is None


class Scripted:
    """Stands for `greedy`: what a model wrote, whatever it saw."""

    def __init__(self, encoder, replies):
        self.replies = [(encoder.tokenizer(text, add_special_tokens=False)["input_ids"], end) for text, end in replies]

    def __call__(self, model, prefix, ends, limit):
        return self.replies


def test_every_way_a_reply_can_end(loaded, encoder, root, examples, monkeypatch):
    """Gold answers of the examples: no defect, scratch, open, no defect, scratch."""
    said = [("No defect.", True), ("scrape", True), ("scratch", True), ("no defect", False), ("hm", True)]
    monkeypatch.setattr(local, "greedy", Scripted(encoder, said))
    found = [(p.text, p.answer, p.outcome) for (p,) in ask(loaded, root, examples, 5, "tuned", ("generate",))]
    assert found == [
        ("No defect.", "no defect", "correct"),
        ("scrape", "scratch", "correct"),
        ("scratch", "scratch", "wrong"),
        ("no defect", None, "truncated"),
        ("hm", None, "unparsed"),
    ]


def other_task(monkeypatch, closed):
    """A task of another kind: `closed` says which questions have closed answers."""
    task = ModuleType("other")
    task.PARSER, task.parse = "other/7", lambda text, labels, synonyms: f"{len(labels)} {text}"
    task.judge = lambda config: lambda text, answer, gold: "wrong"
    task.choices = task.vocabulary = lambda config, labels, example: labels[: closed(example)]
    monkeypatch.setattr("finetune.plugins.load", lambda *key: {("task", "other"): task}[key])


def test_the_task_is_the_one_that_its_name_stands_for(loaded, encoder, root, examples, monkeypatch):
    other_task(monkeypatch, lambda example: 4)
    monkeypatch.setattr(local, "greedy", Scripted(encoder, [("hm", True)]))
    predictor = local.LocalPredictor(loaded, LABELS, TaskConfig(kind="other"), 1, "micro")
    [(scored, written)] = predictor.predict_modes(examples[:1], root, ("score", "generate"), "tuned")
    assert (scored.parser, written.parser, written.answer) == ("other/7", "other/7", "4 hm")
    assert (scored.outcome, written.outcome) == ("wrong", "wrong")


def test_questions_choose_among_their_own_answers_or_are_written(loaded, encoder, root, examples, monkeypatch):
    """Two, four and no closed answers in one batch; an open one is written in every mode."""
    allowed = {"e0": 2, "e1": 0, "e2": 4, "e3": 2, "e4": 0}
    other_task(monkeypatch, lambda example: allowed[example.id])
    monkeypatch.setattr(local, "greedy", Scripted(encoder, [("hm", True)] * 5))
    predictor = local.LocalPredictor(loaded, LABELS, TaskConfig(kind="other"), 5, "micro")
    both = list(predictor.predict_modes(examples, root, ("score", "generate"), "tuned"))
    scores = local.score_labels(loaded.model, encoder, examples, decoded(root, examples), LABELS)
    for (scored, written), row, example in zip(both, scores, examples, strict=True):
        own = LABELS[: allowed[example.id]]
        assert (written.text, written.probabilities) == ("hm", None)
        expected = dict(zip(own, row[: len(own)].softmax(-1).tolist(), strict=True)) or None
        assert scored.probabilities == (expected and pytest.approx(expected, abs=1e-5))
        assert scored.text == (max(expected, key=expected.__getitem__) if expected else "hm")


def test_predict_gives_one_mode(loaded, root, examples):
    predictor = local.LocalPredictor(loaded, LABELS, TaskConfig(), 2)
    found = list(predictor.predict(examples, root, "score", "tuned"))
    assert [p.id for p in found] == [example.id for example in examples]
