"""Features fed back are the live model: logits, loss, gradients, in any batch; the key names all that they hang on."""

import dataclasses

import pytest
import torch
from training import micro

from finetune.config.schema import Config, HardwareConfig, MethodConfig, ModelConfig, TargetsConfig
from finetune.errors import IntegrityError
from finetune.models import load as models
from finetune.models.encoding import Encoder
from finetune.models.vision_features import Tower, adapted
from finetune.training import lora
from finetune.training.collator import joined
from finetune.training.loss import answer_loss, count_labels

FAMILIES = ["idefics3", "qwen2_vl"]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def folder(family, tmp_path_factory):
    return micro.save(tmp_path_factory.mktemp(family), model_type=family)


def load(family, folder, **model):
    return models.load(
        Config(model=ModelConfig(family=family, path=str(folder), **model), hardware=HardwareConfig(device="cpu"))
    )


@pytest.fixture(scope="module")
def loaded(family, folder):
    return load(family, folder)


@pytest.fixture(scope="module")
def encoder(loaded):
    return Encoder(loaded.processor, loaded.family)


@pytest.fixture(scope="module")
def mixed(encoder):
    """Two images, none, one of another size: a live batch, and its images in order."""
    pictures = [[micro.picture(0), micro.picture(1)], [], [micro.picture(2, (64, 40))]]
    examples = [micro.example(n, "scratch", images=len(own)) for n, own in enumerate(pictures)]
    return encoder.supervised(examples, pictures), [image for own in pictures for image in own]


def fed(loaded, encoder, live, images):
    tower = Tower(loaded, encoder)
    kept = {name: value for name, value in live.items() if name not in loaded.family.vision_inputs}
    return kept | tower.fed(live, [tower(image) for image in images])


def test_another_image_gives_other_features(loaded, encoder):
    tower = Tower(loaded, encoder)
    one, other = (tower(micro.picture(number))["rows"] for number in (0, 1))
    assert (one - other).abs().max() > 1e-2


def test_logits_loss_and_gradients_are_those_of_live_pixels(loaded, encoder, mixed):
    live, images = mixed
    loaded.model.requires_grad_(True)
    found = []
    for batch in (live, fed(loaded, encoder, live, images)):
        loaded.model.zero_grad()
        loss = answer_loss(loaded.model, batch, count_labels([batch]))
        loss.backward()
        with torch.no_grad():
            logits = loaded.model(**{name: value for name, value in batch.items() if name != "labels"}).logits
        gradients = {name: p.grad.clone() for name, p in loaded.model.named_parameters() if p.grad is not None}
        found.append((logits, loss, gradients))
    loaded.model.requires_grad_(False)
    (logits, loss, gradients), (again, same, cached) = found
    torch.testing.assert_close(again, logits, rtol=0, atol=1e-6)
    torch.testing.assert_close(same, loss, rtol=0, atol=1e-6)
    language = [name for name in gradients if "visual" not in name and "vision" not in name and "connector" not in name]
    assert len(language) > 15
    assert set(cached) == set(language)  # nothing flows into the tower
    for name in language:
        torch.testing.assert_close(cached[name], gradients[name], rtol=1e-5, atol=1e-6)


def test_the_tower_does_not_run(loaded, encoder, mixed, monkeypatch):
    batch = fed(loaded, encoder, *mixed)
    monkeypatch.setattr(loaded.model.base_model, "get_image_features", None)
    with torch.no_grad():
        loaded.model(**{name: value for name, value in batch.items() if name != "labels"})


def test_features_are_the_same_in_training_and_leave_the_mode_alone(loaded, encoder):
    tower = Tower(loaded, encoder)
    expected = tower(micro.picture(0))["rows"]
    loaded.model.train()
    modes = [module.training for module in loaded.model.modules()]
    assert torch.equal(tower(micro.picture(0))["rows"], expected)
    assert [module.training for module in loaded.model.modules()] == modes
    loaded.model.eval()


def test_a_joined_batch_is_the_batch_without_its_pixels(loaded, encoder):
    targets = ["no", "scratch and dent", "yes"]
    images = [[micro.picture(0)], [], [micro.picture(2), micro.picture(3)]]
    examples = [micro.example(n, t, images=len(i)) for n, (t, i) in enumerate(zip(targets, images, strict=True))]
    whole = encoder.supervised(examples, images)
    alone = [encoder.supervised([example], [own]) for example, own in zip(examples, images, strict=True)]
    pixels = loaded.family.vision_inputs
    found = joined(encoder, [{n: v for n, v in one.items() if n not in pixels} for one in alone])
    assert found.keys() == whole.keys() - set(pixels)
    assert all(torch.equal(found[name], whole[name]) for name in found)


def test_more_rows_than_places_are_refused(loaded, encoder, mixed):
    live, images = mixed
    tower = Tower(loaded, encoder)
    with pytest.raises(IntegrityError, match=r"the batch has \d+ image tokens, but the features of its 2 images have"):
        tower.fed(live, [tower(image) for image in images[:2]])


def test_a_model_that_writes_into_its_features_changes_nothing_that_is_kept(loaded, encoder):
    """Families that take a list get each image's own tensor; one tensor for all is new anyway."""
    tower = Tower(loaded, encoder)
    kept = tower(micro.picture(0))
    before = kept["rows"].clone()
    tower.family = dataclasses.replace(loaded.family, features="list")
    ids = encoder.prompts([micro.example(0)], [[micro.picture(0)]])["input_ids"]
    (given,) = tower.fed({"input_ids": ids}, [kept])["mm_encoder_outputs"]["image"].pooler_output
    given.zero_()
    assert torch.equal(kept["rows"], before)


def test_large_images_are_kept_as_the_processor_sees_them(loaded, encoder):
    tower = Tower(loaded, encoder)
    large = micro.picture(0, (300, 200))
    shrunk = tower.shrunk(large)
    assert shrunk.width < 300
    assert torch.equal(tower(large)["rows"], tower(shrunk)["rows"])


def test_the_scope_names_weights_processor_and_precision(family, folder, loaded, encoder, tmp_path):
    same = Tower(loaded, encoder).scope()
    again = load(family, folder)
    assert Tower(again, Encoder(again.processor, again.family)).scope() == same
    assert Tower(loaded, encoder, torch.bfloat16).scope() != same
    brighter = load(family, folder, pixels={"image_mean": [0.4, 0.4, 0.4]})
    assert Tower(brighter, Encoder(brighter.processor, brighter.family)).scope() != same
    other = dataclasses.replace(again, sha256="of other files")
    assert Tower(other, Encoder(again.processor, again.family)).scope() != same


@pytest.mark.parametrize(
    ("targets", "changed"),
    [
        (("none", "none", "all"), False),
        (("attention", "none", "none"), True),
        (("none", "all", "none"), True),
        (("none", "full", "none"), True),
    ],
)
def test_an_adapter_in_front_of_the_language_model_is_seen(family, folder, targets, changed):
    loaded = load(family, folder)
    scope = Tower(loaded, Encoder(loaded.processor, loaded.family)).scope()
    model = lora.adapt(loaded, Config(method=MethodConfig(rank=2, targets=TargetsConfig(*targets))))
    assert adapted(model, loaded) is changed
    assert Tower(loaded, Encoder(loaded.processor, loaded.family)).scope() == scope  # of the base all the same
