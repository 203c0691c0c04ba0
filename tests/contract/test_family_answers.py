"""The contract of a family, third part: answering."""

import pytest
import torch
from contract import clauses
from training import micro

from finetune.models.decoding import continuation_scores, greedy, prefill
from finetune.models.vision_features import Tower
from finetune.predictors.local import score_labels

LABELS = ["no", "yes", "scratch"]
QUESTIONS = ["Is there a defect?", "Is it?", "Look closely: is there a defect on this part?"]


@pytest.fixture
def asked():
    examples = [micro.example(number, question=question) for number, question in enumerate(QUESTIONS)]
    return examples, [[micro.picture(0)], [micro.picture(1, (64, 40))], [micro.picture(2)]]


@clauses.of("batch")
def test_answers_do_not_depend_on_the_batch(loaded, encoder, asked):
    together = score_labels(loaded.model, encoder, *asked, LABELS)
    alone = [score_labels(loaded.model, encoder, [e], [i], LABELS) for e, i in zip(*asked, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=2e-5)
    with torch.no_grad():
        written = greedy(loaded.model, prefill(loaded.model, encoder.prompts(*asked), loaded.family), set(), 6)
        for row, (example, image) in enumerate(zip(*asked, strict=True)):
            prefix = prefill(loaded.model, encoder.prompts([example], [image]), loaded.family)
            assert greedy(loaded.model, prefix, set(), 6) == [written[row]]


@clauses.of("scores")
def test_label_scores_are_those_of_a_full_forward_pass(loaded, encoder, asked):
    """The definition: prompt and answer in one pass, encoded as in training."""
    for row, (example, image) in enumerate(zip(*asked, strict=True)):
        found = score_labels(loaded.model, encoder, [example], [image], LABELS)[0]
        for column, label in enumerate(LABELS):
            answered = micro.example(row, label, question=example.question)
            batch = encoder.supervised([answered], [image])
            labels = batch.pop("labels")[0, 1:]
            with torch.no_grad():
                logits = loaded.model(**batch).logits[0, :-1].double().log_softmax(-1)
            kept = labels != -100
            expected = logits[kept].gather(-1, labels[kept, None]).sum()
            assert found[column].item() == pytest.approx(expected.item(), abs=1e-4)


@clauses.of("cached")
@pytest.mark.parametrize("counts", [(1, 1, 1), (2, 2), (1, 0, 2)], ids=str)
def test_answers_from_cached_features_are_those_from_pixels(loaded, encoder, counts):
    """Written and scored: what an answer's own tokens need of the images is carried over too."""
    counts = [count or int("text_only" in loaded.family.gaps) for count in counts]
    examples = [micro.example(n, question=QUESTIONS[n], images=count) for n, count in enumerate(counts)]
    pictures = [
        [micro.picture(3 * n + m, (64, 40) if m else (32, 32)) for m in range(count)] for n, count in enumerate(counts)
    ]
    batch, tower = encoder.prompts(examples, pictures), Tower(loaded, encoder)
    kept = {name: value for name, value in batch.items() if name not in loaded.family.vision_inputs}
    fed = kept | tower.fed(kept, [tower(picture, among=len(own)) for own in pictures for picture in own])
    ids = [[encoder.answer_ids(example, label) for label in LABELS] for example in examples]
    with torch.no_grad():
        live, cached = (prefill(loaded.model, inputs, loaded.family) for inputs in (batch, fed))
        assert greedy(loaded.model, cached, set(), 6) == greedy(loaded.model, live, set(), 6)
        scores = [continuation_scores(loaded.model, prefix, ids) for prefix in (cached, live)]
    torch.testing.assert_close(*scores, rtol=1e-5, atol=2e-5)
