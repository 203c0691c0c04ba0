"""One contract over every family file, on a random model of the real architecture with its real processor: inputs."""

import pytest
import torch
from architectures import catalogue
from contract import clauses
from training import micro

from finetune import plugins
from finetune.errors import ConfigError
from finetune.families import _base as families
from finetune.models.vision_features import Tower
from finetune.scoring import box_notations
from finetune.training.collator import joined
from finetune.training.loss import answer_loss

SIZES = [(32, 32), (33, 31), (64, 64), (100, 40), (40, 100), (300, 299), (17, 120), (640, 480)]


def logits(model, batch):
    with torch.no_grad():
        return model(**{name: value for name, value in batch.items() if name != "labels"}).logits


def test_every_family_has_a_small_model_here_and_gives_reasons():
    assert plugins.names("family") == catalogue.NAMES
    for name in plugins.names("family"):
        family = families.load(name)
        assert family.name == name
        assert set(family.gaps) <= set(families.CLAUSES)
        assert all(len(reason) > 20 for reason in family.gaps.values())
        assert bool(family.features) != ("cached" in family.gaps)
        assert family.boxes is None or family.boxes in box_notations.NOTATIONS


@clauses.of("image")
def test_another_image_changes_the_logits(loaded, encoder):
    example = micro.example(0)
    first, second = (logits(loaded.model, encoder.prompts([example], [[micro.picture(n)]])) for n in (0, 1))
    assert (first[0, -1] - second[0, -1]).abs().max() > 1e-3


@clauses.of("labels")
@pytest.mark.parametrize("answer", ["scratch", "no defect.", "\u00e9\u6f22"])
def test_labels_cover_the_answer_with_its_end_token_and_nothing_else(loaded, encoder, answer):
    example = micro.example(0, answer)
    batch = encoder.supervised([example], [[micro.picture(0)]])
    ids = batch["labels"][0][batch["labels"][0] != -100]
    assert encoder.tokenizer.decode(ids).strip() == answer + encoder.end_token
    ends = loaded.model.generation_config.eos_token_id
    assert ids[-1].item() in ([ends] if isinstance(ends, int) else ends)
    alone = encoder.prompts([example], [[micro.picture(0)]])["input_ids"][0]
    assert torch.equal(batch["input_ids"][0, : len(alone)], alone)  # a prompt in training is the prompt in use
    assert ids.tolist() == encoder.answer_ids(example, answer)


@clauses.of("features")
@pytest.mark.parametrize("size", [(64, 48), (30, 90)])
def test_image_tokens_are_image_features(loaded, encoder, size):
    batch = encoder.prompts([micro.example(0)], [[micro.picture(0, size)]])
    rows = rows_of(encoded(loaded, batch), loaded.family.features)
    assert len(rows) == (batch["input_ids"] == encoder.image_id).sum() > 0


def encoded(loaded, batch):
    """What the library's own method makes of the images of a batch."""
    family = loaded.family
    names = [name for name in (*family.vision_inputs, *family.feature_inputs) if name in batch]
    owner = loaded.model if "get_image_features" in dir(loaded.model) else loaded.model.model
    with torch.no_grad():
        return owner.get_image_features(**{name: batch[name] for name in names}, return_dict=True)


def rows_of(found, kind):
    """`[tokens, hidden]`: the rows of all images, in order."""
    rows = found.last_hidden_state if kind == "hidden" else found.pooler_output
    return rows.flatten(0, -2) if isinstance(rows, torch.Tensor) else torch.cat([row.flatten(0, -2) for row in rows])


@clauses.of("arithmetic")
def test_header_arithmetic_is_the_real_count(encoder):
    for size in SIZES:
        example = micro.example(0)
        real = int(encoder.supervised([example], [[micro.picture(0, size)]])["attention_mask"].sum())
        assert encoder.length(example, [(size[1], size[0])]) == real, size
    pictures = [micro.picture(0, (100, 40)), micro.picture(1)]
    pair = encoder.supervised([micro.example(0, images=2)], [pictures])["attention_mask"]
    assert encoder.length(micro.example(0, images=2), [(p.height, p.width) for p in pictures]) == int(pair.sum())
    text = micro.example(0, images=0)
    assert "text_only" in encoder.family.gaps or encoder.length(text, []) == int(
        encoder.supervised([text], [[]])["attention_mask"].sum()
    )


@clauses.of("arithmetic")
def test_shrinking_first_gives_the_same_pixels(loaded):
    for size in SIZES:
        image = micro.picture(0, size)
        shrunk = loaded.family.shrink(loaded.processor, image)
        assert max(shrunk.size) <= max(image.size)
        if shrunk is not image:
            pair = [loaded.processor.image_processor([[one]], return_tensors="pt") for one in (image, shrunk)]
            assert torch.equal(pair[0]["pixel_values"], pair[1]["pixel_values"]), size


@clauses.of("lora")
def test_every_parameter_has_one_component(loaded):
    parts = {families.component_of(loaded.family, name) for name, _ in loaded.model.named_parameters()}
    assert {"vision_tower", "projector", "language_model"} <= parts
    assert families.component_of(loaded.family, f"{loaded.family.head[0]}.weight") == "head"
    with pytest.raises(ConfigError, match="lies under none of its prefixes"):
        families.component_of(loaded.family, "elsewhere.blocks.0")


@clauses.of("text_only")
def test_a_text_only_sample_trains_beside_one_with_an_image(loaded, encoder):
    examples = [micro.example(0, images=0), micro.example(1, "yes"), micro.example(2, "scratch", images=0)]
    pictures = [[], [micro.picture(1)], []]
    with torch.no_grad():
        together = answer_loss(loaded.model, encoder.supervised(examples, pictures), 1)
        apart = [
            answer_loss(loaded.model, encoder.supervised([e], [p]), 1) for e, p in zip(examples, pictures, strict=True)
        ]
    torch.testing.assert_close(together, sum(apart), rtol=1e-5, atol=1e-5)


@clauses.of("cached")
def test_cached_features_give_the_same_logits(loaded, encoder):
    """Rows are computed one image at a time and handed over in the form that the family says."""
    examples, pictures = [micro.example(0), micro.example(1)], [micro.picture(0), micro.picture(1, (64, 40))]
    batch = encoder.supervised(examples, [[picture] for picture in pictures])
    live, tower = logits(loaded.model, batch), Tower(loaded, encoder)
    kept = {name: value for name, value in batch.items() if name not in loaded.family.vision_inputs}
    rows = [tower(picture) for picture in pictures]
    for example, picture, own in zip(examples, pictures, rows, strict=True):
        again = tower(picture, encoder.supervised([example], [[picture]]))  # the processor need not be asked once more
        assert all(torch.equal(again[name], value) for name, value in own.items())
    cached = logits(loaded.model, kept | tower.fed(batch, rows))
    torch.testing.assert_close(cached, live, rtol=1e-5, atol=1e-5)
    none = [{name: torch.zeros_like(value) for name, value in own.items()} for own in rows]
    wrong = logits(loaded.model, kept | tower.fed(batch, none))
    assert (wrong - live).abs().max() > 1e-3  # the rows are what the answer is made of


@clauses.of("cached")
def test_a_training_on_cached_features_sees_the_same(loaded, encoder):
    """Samples are encoded one by one and joined, with one, two and no images; the loss is that of live pixels."""
    pictures = [[micro.picture(0)], [], [micro.picture(1), micro.picture(2, (64, 40))]]
    if "text_only" in loaded.family.gaps:
        pictures = pictures[::2]
    examples = [micro.example(n, "no" * (n + 1), images=len(own)) for n, own in enumerate(pictures)]
    kept = joined(encoder, [without_pixels(encoder, *pair) for pair in zip(examples, pictures, strict=True)])
    tower = Tower(loaded, encoder)
    rows = [tower(picture, among=len(own)) for own in pictures for picture in own]
    with torch.no_grad():
        live = answer_loss(loaded.model, encoder.supervised(examples, pictures), 1)
        cached = answer_loss(loaded.model, kept | tower.fed(kept, rows), 1)
    torch.testing.assert_close(cached, live, rtol=1e-5, atol=1e-5)


@pytest.mark.families
@pytest.mark.parametrize("name", ["mllama"])
def test_what_stands_for_a_missing_image_is_of_the_precision_of_the_others(loaded, encoder):
    pictures = [[micro.picture(0)], [micro.picture(1), micro.picture(2)]]
    examples = [micro.example(n, images=len(own)) for n, own in enumerate(pictures)]
    batch, tower = encoder.supervised(examples, pictures), Tower(loaded, encoder, torch.bfloat16)
    fed = tower.fed(batch, [tower(picture) for own in pictures for picture in own])
    assert fed["cross_attention_states"].dtype == torch.bfloat16
    kept = {name: value for name, value in batch.items() if name not in loaded.family.vision_inputs}
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(logits(loaded.model, kept | fed), logits(loaded.model, batch))


def without_pixels(encoder, example, pictures):
    whole = encoder.supervised([example], [pictures])
    return {name: value for name, value in whole.items() if name not in encoder.family.vision_inputs}
