"""One contract over every family file, on a random model of the real architecture with its real processor."""

import pytest
import torch
from training import micro

from finetune import family as families
from finetune import models, named
from finetune.config import Config, HardwareConfig, MethodConfig, ModelConfig, TargetsConfig
from finetune.encoding import Encoder
from finetune.errors import ConfigError
from finetune.four_bit import four_bit_modules
from finetune.predictors.local import score_labels
from finetune.training import lora
from finetune.training.loss import answer_loss, count_labels

SIZES = [(32, 32), (33, 31), (64, 64), (100, 40), (40, 100), (300, 299), (17, 120), (640, 480)]

# idefics3 carries the embedded model and runs in the default suite; the others run with `make families`.
pytestmark = pytest.mark.parametrize(
    "name",
    [name if name == "idefics3" else pytest.param(name, marks=pytest.mark.families) for name in named.names("family")],
    scope="module",
)


@pytest.fixture(scope="module")
def folder(name, tmp_path_factory):
    return micro.save(tmp_path_factory.mktemp(name), model_type=families.load(name).model_types[0])


@pytest.fixture(scope="module")
def tiled(name, tmp_path_factory):
    return micro.save(tmp_path_factory.mktemp(name), model_type=families.load(name).model_types[0], splitting=True)


def load(name, folder, **method):
    config = Config(
        model=ModelConfig(family=name, path=str(folder)),
        method=MethodConfig(rank=2, **method),
        hardware=HardwareConfig(device="cpu"),
    )
    return models.load(config), config


@pytest.fixture
def loaded(name, folder):
    return load(name, folder)[0]


@pytest.fixture
def encoder(loaded):
    return Encoder(loaded.processor, loaded.family)


def logits(model, batch):
    with torch.no_grad():
        return model(**{name: value for name, value in batch.items() if name != "labels"}).logits


def test_another_image_changes_the_logits(loaded, encoder):
    example = micro.example(0)
    first, second = (logits(loaded.model, encoder.prompts([example], [[micro.picture(n)]])) for n in (0, 1))
    assert (first[0, -1] - second[0, -1]).abs().max() > 1e-3


def test_labels_cover_the_answer_with_its_end_token_and_nothing_else(loaded, encoder):
    example = micro.example(0, "scratch")
    batch = encoder.supervised([example], [[micro.picture(0)]])
    ids = batch["labels"][0][batch["labels"][0] != -100]
    assert encoder.tokenizer.decode(ids).strip() == "scratch" + loaded.family.end_token
    ends = loaded.model.generation_config.eos_token_id
    assert ids[-1].item() in ([ends] if isinstance(ends, int) else ends)


def test_image_tokens_are_image_features(name, tiled):
    loaded, _ = load(name, tiled)
    encoder = Encoder(loaded.processor, loaded.family)
    batch = encoder.supervised([micro.example(0)], [[micro.picture(0, (64, 48))]])
    pixels = {key: batch[key] for key in (*loaded.family.vision_inputs, *loaded.family.feature_inputs)}
    features = loaded.model.get_image_features(**pixels, return_dict=True).pooler_output
    assert sum(len(rows) for rows in features) == (batch["input_ids"] == encoder.image_id).sum()


@pytest.mark.parametrize("splitting", [False, True])
def test_header_arithmetic_is_the_real_count(name, folder, tiled, splitting):
    loaded, _ = load(name, tiled if splitting else folder)
    encoder = Encoder(loaded.processor, loaded.family)
    for size in SIZES:
        example = micro.example(0)
        real = int(encoder.supervised([example], [[micro.picture(0, size)]])["attention_mask"].sum())
        assert encoder.length(example, [(size[1], size[0])]) == real, size


@pytest.mark.parametrize("splitting", [False, True])
def test_shrinking_first_gives_the_same_pixels(name, folder, tiled, splitting):
    loaded, _ = load(name, tiled if splitting else folder)
    for size in SIZES:
        image = micro.picture(0, size)
        shrunk = loaded.family.shrink(loaded.processor, image)
        assert max(shrunk.size) <= max(image.size)
        whole, less = (loaded.processor.image_processor([[one]], return_tensors="pt") for one in (image, shrunk))
        assert torch.equal(whole["pixel_values"], less["pixel_values"]), size


def test_every_parameter_has_one_component(loaded):
    parts = {families.component_of(loaded.family, name) for name, _ in loaded.model.named_parameters()}
    assert parts == {"vision_tower", "projector", "language_model"}  # the head is tied to the embedding
    assert families.component_of(loaded.family, "lm_head.weight") == "head"
    with pytest.raises(ConfigError, match="lies under none of its prefixes"):
        families.component_of(loaded.family, "elsewhere.blocks.0")


def test_lora_reaches_the_language_model_alone(name, folder):
    loaded, config = load(name, folder)
    model = lora.adapt(loaded, config)
    assert {families.component_of(loaded.family, key) for key, _ in lora.trainable(model)} == {"language_model"}


def test_four_bit_reaches_the_language_model_alone(name, folder):
    loaded, _ = load(name, folder, quantise="nf4")
    assert {families.component_of(loaded.family, key) for key in four_bit_modules(loaded.model)} == {"language_model"}


def test_frozen_tensors_keep_every_bit(name, folder):
    loaded, config = load(name, folder, targets=TargetsConfig("none", "full", "attention"))
    model = lora.adapt(loaded, config)
    frozen = {key: value.detach().clone() for key, value in model.named_parameters() if not value.requires_grad}
    encoder = Encoder(loaded.processor, loaded.family)
    batch = encoder.supervised([micro.example(0)], [[micro.picture(0)]])
    optimiser = torch.optim.SGD([value for _, value in lora.trainable(model)], lr=0.5)
    answer_loss(model, batch, count_labels([batch])).backward()
    optimiser.step()
    assert all(torch.equal(value, frozen[key]) for key, value in model.named_parameters() if key in frozen)
    with model.disable_adapter():
        off = logits(model, batch)
    assert torch.equal(off, logits(load(name, folder)[0].model, batch))


def test_a_text_only_sample_trains_beside_one_with_an_image(loaded, encoder):
    both = encoder.supervised([micro.example(0, images=0), micro.example(1, "yes")], [[], [micro.picture(1)]])
    alone = [
        encoder.supervised([micro.example(0, images=0)], [[]]),
        encoder.supervised([micro.example(1, "yes")], [[micro.picture(1)]]),
    ]
    with torch.no_grad():
        together = answer_loss(loaded.model, both, 1)
        apart = sum(answer_loss(loaded.model, batch, 1) for batch in alone)
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-5)


def test_answers_do_not_depend_on_the_batch(loaded, encoder):
    questions = ["Is there a defect?", "Is it?", "Look closely: is there a defect on this part?"]
    examples = [micro.example(number, question=question) for number, question in enumerate(questions)]
    images = [[micro.picture(number)] for number in range(3)]
    labels = ["no", "yes", "scratch"]
    together = score_labels(loaded.model, encoder, examples, images, labels)
    alone = torch.cat(
        [score_labels(loaded.model, encoder, [e], [i], labels) for e, i in zip(examples, images, strict=True)]
    )
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_cached_features_give_the_same_logits(loaded, encoder):
    batch = encoder.supervised([micro.example(0, images=2)], [[micro.picture(0), micro.picture(1)]])
    live = logits(loaded.model, batch)
    pixels = {key: batch.pop(key) for key in loaded.family.vision_inputs}
    pixels |= {key: batch[key] for key in loaded.family.feature_inputs}
    with torch.no_grad():
        features = loaded.model.get_image_features(**pixels, return_dict=True)
    assert torch.equal(logits(loaded.model, {**batch, "mm_encoder_outputs": {"image": features}}), live)
