"""The logistic regression against scikit-learn's figures and first principles; features against the tower itself."""

import built_run
import numpy as np
import pytest
import torch
from scipy import special
from training import micro

from finetune.data import example_files, source
from finetune.errors import ConfigError, DataError
from finetune.images import decode
from finetune.models import load as models
from finetune.models.encoding import Encoder
from finetune.pipeline import evaluate
from finetune.predictors import linear
from finetune.rundir import RunDir, read_jsonl

LABELS = ("a", "b", "c")


def blobs(n=60, seed=0):
    generator = np.random.default_rng(seed)
    y = [LABELS[(0, 0, 0, 1, 2)[i % 5]] for i in range(n)]
    centre = {"a": (0, 0, 0), "b": (1, 1, 0), "c": (-1, 1, 0)}
    return np.array([centre[label] for label in y]) + generator.normal(0, 0.7, (n, 3)) * (1, 1, 0), y


def test_the_gradient_of_the_stated_objective_vanishes():
    """sum_i loss_i + |W|^2 / 2C with a free intercept, differentiated by hand at the solution."""
    x, y = blobs()
    found = linear.fit(x, y, LABELS, 0.5, False)
    z = np.hstack([(x - x.mean(0)) / np.where(x.std(0) > 1e-8, x.std(0), 1), np.ones((60, 1))])
    right = np.array([[label == own for label in LABELS] for own in y], float)
    slope = z.T @ (special.softmax(z @ found.weights, axis=1) - right)
    np.testing.assert_allclose(slope[:-1], -found.weights[:-1] / 0.5, atol=1e-3)
    np.testing.assert_allclose(slope[-1], 0, atol=1e-3)


EXPECTED = {
    False: [[0.82704, 0.08304, 0.08992], [0.38138, 0.5558, 0.06282], [0.33599, 0.01661, 0.6474]],
    True: [[0.63687, 0.1678, 0.19533], [0.16281, 0.77188, 0.06531], [0.13778, 0.01499, 0.84723]],
}


def test_probabilities_are_those_of_scikit_learn():
    """`make_pipeline(StandardScaler(), LogisticRegression(C=0.5, class_weight=...))` of scikit-learn 1.9.1."""
    x, y = blobs()
    asked = np.array([[0.0, 0, 0], [1, 1, 0], [-2, 0.5, 0]])
    for balanced, expected in EXPECTED.items():
        found = linear.fit(x, y, LABELS, 0.5, balanced).probabilities(asked)
        np.testing.assert_allclose(found, expected, atol=2e-4)


def test_labels_that_nobody_has_get_no_column():
    x, y = blobs()
    found = linear.fit(x, y, ("z", *LABELS), 1.0, False)
    assert found.classes == LABELS
    assert found.probabilities(x[:2]).shape == (2, 3)


class Rows:
    """Stands for the tower: features by id."""

    def __init__(self, rows):
        self.rows = rows

    def many(self, examples):
        return ((self.rows[example.id], "0" * 64) for example in examples)


def example(number, label):
    return micro.example(number, label)


def test_the_metric_decides_whether_rare_labels_count_more():
    """One feature that says little: nine in ten are good, so accuracy never answers bad and balanced accuracy does."""
    generator = np.random.default_rng(1)
    gold = ["good"] * 180 + ["bad"] * 20
    rows = {f"e{i}": np.array([generator.normal(label == "bad", 1.0)]) for i, label in enumerate(gold)}
    examples = [example(i, label) for i, label in enumerate(gold)]
    train, held_out = examples[::2], examples[1::2]
    for metric, balanced in (("accuracy", False), ("balanced_accuracy", True), ("sensitivity", True)):
        found = linear.choose(Rows(rows), train, held_out, ("good", "bad"), metric)
        assert found.balanced == balanced, metric


def test_without_validation_nothing_is_chosen():
    x, y = blobs()
    rows = {f"e{i}": row for i, row in enumerate(x)}
    found = linear.choose(Rows(rows), [example(i, label) for i, label in enumerate(y)], [], LABELS, "accuracy")
    assert (found.strength, found.balanced) == (1.0, False)


def test_one_label_is_nothing_to_fit():
    with pytest.raises(DataError, match="fewer than two labels"):
        linear.choose(Rows({"e0": np.zeros(2)}), [example(0, "a")], [], LABELS, "accuracy")


def test_features_are_those_of_the_frozen_tower(built):
    """Against a direct call of the tower, for an example with one image and its resized picture."""
    run = RunDir(built)
    config = built_run.load(built)
    root = source.image_root(config, run)
    first = example_files.read_split(run.data / "test.jsonl")[0]
    tower = linear.Tower(config, root)
    row, digest = tower.features(first)
    loaded = models.load(config)
    images = [decode.load(root, ref) for ref in first.images]
    batch = Encoder(loaded.processor, loaded.family).prompts([first], [images])
    with torch.no_grad():
        seen = loaded.model.model.vision_model(
            pixel_values=batch["pixel_values"][0],
            patch_attention_mask=torch.ones(1, 4, 4, dtype=torch.bool),
        ).last_hidden_state[0]
    np.testing.assert_allclose(row, torch.cat([seen.mean(0), seen.max(0).values]).numpy(), atol=1e-5)
    assert digest == decode.digest(images)


def test_a_batch_gives_what_each_picture_gives_alone(built, monkeypatch):
    run, config = RunDir(built), built_run.load(built)
    examples = [row for name in ("test", "train") for row in example_files.read_split(run.data / f"{name}.jsonl")][:9]
    batched, lone = (linear.Tower(config, source.image_root(config, run)) for _ in range(2))
    sizes, pooled = [], linear.Tower._pooled

    def watched(self, examples, images):
        sizes.append(len(examples))
        return pooled(self, examples, images)

    monkeypatch.setattr(linear.Tower, "_pooled", watched)
    monkeypatch.setattr(linear, "TOGETHER", 4)
    found = list(batched.many([*examples, examples[0]]))
    assert sizes == [4, 1, 4, 1]  # the first batch is held against its first picture alone
    expected = [lone.features(example) for example in examples]
    assert [digest for _, digest in found] == [digest for _, digest in [*expected, expected[0]]]
    for (row, _), (own, _) in zip(found, [*expected, expected[0]], strict=True):
        np.testing.assert_allclose(row, own, atol=1e-4)


def test_a_tower_that_a_batch_changes_is_asked_one_picture_at_a_time(built, monkeypatch):
    run, config = RunDir(built), built_run.load(built)
    examples = example_files.read_split(run.data / "train.jsonl")[:5]
    tower, pooled = linear.Tower(config, source.image_root(config, run)), linear.Tower._pooled
    monkeypatch.setattr(
        linear.Tower, "_pooled", lambda self, rows, images: pooled(self, rows, images) + (len(rows) > 1)
    )
    found = [row for row, _ in tower.many(examples)]
    np.testing.assert_array_equal(found, [pooled(tower, [e], [load(tower, e)])[0] for e in examples])


def load(tower, example):
    return [decode.load(tower.root, ref) for ref in example.images]


def test_of_too_many_pictures_rare_labels_keep_theirs(monkeypatch, capsys):
    monkeypatch.setattr(linear, "MOST", 10)
    train = [example(i, "rare" if i % 10 == 0 else "common") for i in range(40)]
    kept = linear.few(train)
    assert [e.target for e in kept].count("rare") == 4
    assert len(kept) == 10
    assert kept == sorted(kept, key=train.index)
    assert "fitted on 10 of 40 training pictures" in capsys.readouterr().err
    assert linear.few(train[:10]) == train[:10]


def test_the_row_in_a_comparison(built):
    run = RunDir(built)
    config = built_run.load(built, "evaluate.models=[majority,linear]")
    evaluate.run(config, run)
    rows = list(read_jsonl(run.predictions("linear")))
    assert len(rows) == len(example_files.read_split(run.data / "test.jsonl"))
    assert all(sum(row["probabilities"].values()) == pytest.approx(1) for row in rows)
    assert rows[0]["model"].startswith("idefics3.vision_tower@")
    assert "+logistic(C=" in rows[0]["model"]
    again = list(linear.predict(config, run, example_files.read_split(run.data / "test.jsonl"), *paths(config, run)))
    assert [(p.answer, p.probabilities) for p in again] == [(row["answer"], row["probabilities"]) for row in rows]


def paths(config, run):
    return source.image_root(config, run), example_files.labels(run)


def test_open_answers_are_beyond_it(built):
    run = RunDir(built)
    with pytest.raises(ConfigError, match="linear looks at the picture alone"):
        list(linear.predict(built_run.load(built), run, [], built, ()))


def test_a_tower_without_a_method_of_its_own_is_seen_through_the_whole_model():
    asked = []

    class Inner:
        pass

    class Whole:
        base_model = Inner()

        def __call__(self, **inputs):
            asked.append(sorted(inputs))

    tower = linear.Tower.__new__(linear.Tower)
    tower.loaded = type("Loaded", (), {"model": Whole(), "device": torch.device("cpu")})
    batch = {"input_ids": torch.ones(1, 2), "pixel_values": torch.ones(1, 3)}
    tower._see({"pixel_values": batch["pixel_values"]}, batch)
    Inner.get_image_features = lambda self, **inputs: asked.append(sorted(inputs))
    tower._see({"pixel_values": batch["pixel_values"]}, batch)
    assert asked == [["input_ids", "pixel_values"], ["pixel_values"]]
