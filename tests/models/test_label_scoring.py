"""Ways to score a label, their choice on validation, and the share of labels put back."""

import dataclasses

import pytest
import torch
from training import micro

from finetune.config.schema import Config, ModelConfig
from finetune.example import Prediction
from finetune.models import label_scoring
from finetune.models import load as models
from finetune.models.decoding import prefill
from finetune.models.encoding import Encoder

LABELS = ("no defect", "a", "open circuit")


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Model, encoder, two examples with pictures, and their scores in all three ways."""
    folder = micro.save(tmp_path_factory.mktemp("model"))
    loaded = models.load(dataclasses.replace(Config(), model=ModelConfig(path=str(folder))))
    encoder = Encoder(loaded.processor, loaded.family)
    examples = [micro.example(0), micro.example(1, question="What?")]
    images = [[micro.picture(5)], [micro.picture(6)]]
    with torch.no_grad():
        prefix = prefill(loaded.model, encoder.prompts(examples, images))
        scorer = label_scoring.LabelScores(loaded.model, encoder)
        found = scorer.scores(prefix, examples, [LABELS, LABELS[:2]], label_scoring.SCORED)
    return loaded.model, encoder, examples, images, found


def plain(model, encoder, example, images, label):
    """Log-probability of every supervised token in one full forward pass."""
    batch = encoder.supervised([dataclasses.replace(example, target=label)], [images])
    labels = batch.pop("labels")[0, 1:]
    with torch.no_grad():
        logits = model(**batch).logits[0, :-1].double().log_softmax(-1)
    return logits[labels != -100].gather(-1, labels[labels != -100].unsqueeze(-1)).squeeze(-1)


def test_the_sum_and_the_mean_over_the_tokens_of_a_label(scored):
    model, encoder, examples, images, found = scored
    for row, own in enumerate((LABELS, LABELS[:2])):
        for column, label in enumerate(own):
            each = plain(model, encoder, examples[row], images[row], label)
            assert found["score"][row, column].item() == pytest.approx(each.sum().item(), abs=1e-4)
            assert found["score_mean"][row, column].item() == pytest.approx(each.mean().item(), abs=1e-4)


def test_the_prior_is_what_the_model_says_about_a_grey_picture(scored):
    from PIL import Image

    model, encoder, examples, images, found = scored
    grey = Image.new("RGB", (224, 224), (128, 128, 128))
    for column, label in enumerate(LABELS):
        without = plain(model, encoder, examples[0], [grey], label).sum()
        expected = plain(model, encoder, examples[0], images[0], label).sum() - without
        assert found["score_prior"][0, column].item() == pytest.approx(expected.item(), abs=1e-4)


def test_fewer_choices_leave_gaps(scored):
    for scores in scored[-1].values():
        assert torch.isinf(scores).tolist() == [[False] * 3, [False, False, True]]


def row(gold, **probabilities):
    return Prediction("1", "0", "?", gold, "", None, "wrong", probabilities or None, 0.0, "m", "p", "g")


def test_the_surest_right_way_is_chosen_whatever_its_temperature():
    """`score` knows nothing, `score_mean` is right but timid, which a temperature mends, `score_prior` errs."""
    gold = ["a", "b"] * 10
    columns = {
        "score": [row(g, a=0.5, b=0.5) for g in gold],
        "score_mean": [row(g, a=0.51 if g == "a" else 0.49, b=0.49 if g == "a" else 0.51) for g in gold],
        "score_prior": [row(g, a=0.9, b=0.1) for g in gold],
    }
    mode, losses = label_scoring.choose(columns)
    assert mode == "score_mean"
    assert losses["score"] == pytest.approx(0.6931, abs=1e-3)
    assert losses["score_mean"] < losses["score"] <= losses["score_prior"] + 1e-6


@pytest.mark.parametrize("rows", [[], [row("c", a=0.5, b=0.5)], [row("a")]])
def test_without_validation_answers_it_is_the_sum(rows):
    assert label_scoring.choose({"score": rows, "score_mean": rows}) == ("score", {})


def test_ties_go_to_the_sum():
    same = [row("a", a=0.7, b=0.3), row("b", a=0.6, b=0.4)]
    assert label_scoring.choose({"score": same, "score_mean": same})[0] == "score"


def test_the_share_of_labels_is_put_back():
    """Trained on even shares, 90 % good in the data: by Bayes' rule 0.5 becomes 0.9."""
    train = [micro.example(i, "good" if i % 10 else "bad") for i in range(100)]
    prior = label_scoring.shift(train, ("good", "bad", "never"), True, {})
    assert prior == {"good": pytest.approx(1.8), "bad": pytest.approx(0.2)}
    found = label_scoring.undone(prior, {"good": 0.5, "bad": 0.5})
    assert found == {"good": pytest.approx(0.9), "bad": pytest.approx(0.1)}
    assert label_scoring.undone(None, {"good": 0.5, "bad": 0.5}) == {"good": 0.5, "bad": 0.5}
    assert label_scoring.shift([], ("good",), True, {}) is None
