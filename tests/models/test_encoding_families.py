"""What families differ in, seen by the encoder: end tokens, prompts without a template, inputs that must be there."""

from dataclasses import replace

import pytest
from training import micro
from transformers import AutoProcessor

from finetune.errors import ConfigError, DataError
from finetune.families import _base as families
from finetune.models.encoding import Encoder

FAMILY = families.load("idefics3")


@pytest.fixture(scope="module")
def processor(tmp_path_factory):
    return AutoProcessor.from_pretrained(micro.save(tmp_path_factory.mktemp("families")))


@pytest.fixture
def templated(processor):
    """The processor with another template, and its own one back afterwards."""
    own = processor.chat_template
    yield lambda template: setattr(processor, "chat_template", template) or processor
    processor.chat_template = own


USER = "{% for m in messages %}{{ m['content'][-1]['text'] }}"
TURNS = USER + "END{% endfor %}{% if add_generation_prompt %}A:{% endif %}"


def test_the_end_token_is_what_the_template_puts_after_an_answer(templated):
    open_ended = replace(FAMILY, end_token="")
    encoder = Encoder(templated(TURNS.replace("END", "<fake_token_around_image>\n")), open_ended)
    assert encoder.end_token == "<fake_token_around_image>"


def test_a_template_without_an_end_token_gets_the_tokenizers_own(templated):
    encoder = Encoder(
        templated(USER + " {% endfor %}{% if add_generation_prompt %}A:{% endif %}"), replace(FAMILY, end_token="")
    )
    assert encoder.end_token == "<end_of_utterance>"


def test_it_is_written_right_after_the_answer(templated):
    template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'][-1]['text'] }} {% endfor %}"
    encoder = Encoder(
        templated(template + "{% if add_generation_prompt %}assistant:{% endif %}"), replace(FAMILY, end_token="")
    )
    example = micro.example(0, "no", images=0)
    assert encoder.full(example) == encoder.prompt(example) + " no<end_of_utterance>"


def test_nothing_that_ends_an_answer_is_an_error(templated, monkeypatch):
    processor = templated(USER + "{% endfor %}")
    monkeypatch.setattr(type(processor.tokenizer), "eos_token", None, raising=False)
    with pytest.raises(ConfigError, match="neither the chat template nor the tokenizer has a token that ends an ans"):
        Encoder(processor, replace(FAMILY, end_token=""))


def test_an_input_that_a_family_needs_and_does_not_get_is_named(processor):
    encoder = Encoder(processor, replace(FAMILY, required_inputs=("mm_token_type_ids",)))
    with pytest.raises(DataError, match="the processor of idefics3 gave no mm_token_type_ids, without which"):
        encoder.prompts([micro.example(0)], [[micro.picture(0)]])
    assert "input_ids" in encoder.prompts([micro.example(0, images=0)], [[]])  # only images need it


def test_a_family_may_render_and_process_by_itself(processor):
    seen = []

    def process(given, prompts, texts, images, options):
        seen.append((prompts, texts, options["padding_side"]))
        return {**given(text=texts or prompts, images=images, **options)}

    def render(given, turns, answer):
        return f"Q: {turns[0]['content'][-1]['text']} A:" + ("" if answer is None else f" {answer}")

    encoder = Encoder(processor, replace(FAMILY, render=render, process=process))
    example = micro.example(0, "yes", question="why?", images=0)
    batch = encoder.supervised([example], [[]])
    assert seen == [(["Q: why? A:"], ["Q: why? A: yes<end_of_utterance>"], "right")]
    labels = batch["labels"][0]
    assert encoder.tokenizer.decode(labels[labels != -100]) == " yes<end_of_utterance>"


def test_lengths_count_what_the_processor_writes_around_images(processor):
    plain = Encoder(processor, FAMILY)
    wrapped = Encoder(processor, replace(FAMILY, rewrite=lambda given, text: text.replace("<image>", "<image>ab")))
    example, more = micro.example(0), len(processor.tokenizer("ab")["input_ids"])
    assert wrapped.length(example, [(32, 32)]) == plain.length(example, [(32, 32)]) + more
    assert wrapped.length(micro.example(0, images=0), []) == plain.length(micro.example(0, images=0), [])
