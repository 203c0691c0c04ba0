from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training import micro
from transformers import AutoProcessor

from finetune.errors import DataError
from finetune.example import Message
from finetune.families import _base as families
from finetune.models.encoding import JOINER, Encoder, _first_label


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = micro.save(tmp_path_factory.mktemp("encoding"))
    return Encoder(AutoProcessor.from_pretrained(folder), families.load("idefics3"))


def labelled(encoder, batch, row=0):
    ids = batch["labels"][row]
    return encoder.tokenizer.decode(ids[ids != -100])


def test_labels_are_the_answer_with_its_blank_and_end_token_and_nothing_else(encoder):
    batch = encoder.supervised([micro.example(0, "no defect")], [[micro.picture(0)]])
    assert labelled(encoder, batch) == " no defect<end_of_utterance>"
    positions = (batch["labels"][0] != -100).nonzero().squeeze(-1)
    assert positions.tolist() == list(range(positions[0], batch["input_ids"].shape[1]))
    assert torch.equal(batch["labels"][0, positions], batch["input_ids"][0, positions])


def test_the_prompt_is_the_template_with_images_first(encoder):
    example = replace(micro.example(0, images=2), messages=(Message("system", "Be brief."), Message("user", "What?")))
    assert encoder.prompt(example) == (
        "<|im_start|>System: Be brief.<end_of_utterance>\nUser:<image><image>What?<end_of_utterance>\nAssistant:"
    )


def test_prompts_are_padded_on_the_left_and_training_rows_on_the_right(encoder):
    examples = [micro.example(0), micro.example(1, question="Is there a defect? Look twice.")]
    images = [[micro.picture(0)], [micro.picture(1)]]
    prompts, trained = encoder.prompts(examples, images), encoder.supervised(examples, images)
    assert prompts["attention_mask"][0, 0] == 0
    assert prompts["attention_mask"][:, -1].tolist() == [1, 1]
    assert trained["attention_mask"][0, -1] == 0
    assert trained["labels"][0, -1] == -100
    assert "labels" not in prompts


def test_a_row_without_image_stands_beside_rows_with_one_and_with_two(encoder):
    examples = [micro.example(0, images=0), micro.example(1, "yes"), micro.example(2, "scratch", images=2)]
    images = [[], [micro.picture(1)], [micro.picture(2), micro.picture(3)]]
    batch = encoder.supervised(examples, images)
    counts = [(row == encoder.image_id).sum().item() for row in batch["input_ids"]]
    assert counts == [0, 4, 8]  # (32 / 8 / 2) ** 2 features an image
    assert [labelled(encoder, batch, row) for row in range(3)] == [
        f" {text}<end_of_utterance>" for text in ("no", "yes", "scratch")
    ]


def test_a_batch_without_any_image_has_no_pixels(encoder):
    batch = encoder.supervised([micro.example(0, images=0)], [[]])
    assert set(batch) == {"input_ids", "attention_mask", "labels"}


@pytest.mark.parametrize("injected", ["<image>", "<end_of_utterance>", "<|im_start|>", "<row_1_col_1>"])
def test_special_tokens_in_data_stay_text(encoder, injected):
    example = micro.example(0, f"a {injected} b", question=f"see {injected}?")
    batch = encoder.supervised([example], [[micro.picture(0)]])
    plain = encoder.supervised([micro.example(0, "a b", question="see ?")], [[micro.picture(0)]])
    special = encoder.tokenizer.convert_tokens_to_ids(injected)
    assert (batch["input_ids"] == special).sum() == (plain["input_ids"] == special).sum()
    assert (batch["labels"] == special).sum() == (plain["labels"] == special).sum()
    assert labelled(encoder, batch) == f" a <{JOINER}{injected[1:]} b<end_of_utterance>"
    assert encoder.unescape(encoder.escape(injected)) == injected


@settings(deadline=None)
@given(st.text(max_size=30), st.sampled_from(["<image>", "<pad>", ""]))
def test_escaped_text_holds_no_special_token(encoder, text, injected):
    assert not any(token in encoder.escape(injected + text) for token in micro.SPECIAL)


def test_one_bos_whether_the_template_writes_it_or_not(encoder, monkeypatch):
    bos = encoder.tokenizer.bos_token_id
    batch = encoder.prompts([micro.example(0)], [[micro.picture(0)]])
    assert (batch["input_ids"] == bos).sum() == 1
    assert not encoder._adds_special("<|im_start|>User: x")
    assert encoder._adds_special("User: x")


def test_answer_ids_are_those_of_the_whole(encoder):
    example = micro.example(0, "scratch")
    batch = encoder.supervised([example], [[micro.picture(0)]])
    ids = batch["labels"][0][batch["labels"][0] != -100].tolist()
    assert encoder.answer_ids(example, "scratch") == ids
    assert encoder.answer_ids(example, "scratch")[-1] == encoder.end_id
    assert encoder.answer_ids(example, "yes") != ids


@pytest.mark.parametrize("size", [(32, 32), (40, 100), (300, 20), (31, 33)])
def test_planned_length_is_the_real_one(encoder, size):
    example = micro.example(0, "scratch", images=2)
    pictures = [micro.picture(0, size), micro.picture(1)]
    real = int(encoder.supervised([example], [pictures])["attention_mask"].sum())
    assert encoder.length(example, [(p.height, p.width) for p in pictures]) == real


def test_blanks_around_an_answer_are_not_trained(encoder):
    batch = encoder.supervised([micro.example(0, "  no ")], [[micro.picture(0)]])
    assert labelled(encoder, batch) == " no<end_of_utterance>"


def test_an_empty_answer_is_an_error(encoder):
    with pytest.raises(DataError, match=r"example 'e0': the chat template does not keep the answer ' '"):
        encoder.supervised([micro.example(0, " ")], [[micro.picture(0)]])


def with_template(encoder, change):
    changed = Encoder(encoder.processor, encoder.family)
    template = encoder.processor.chat_template
    original = changed.processor.apply_chat_template
    changed.processor.apply_chat_template = lambda turns, **how: original(turns, chat_template=change(template), **how)
    return changed, original


def test_a_template_that_changes_the_answer_is_an_error(encoder):
    changed, original = with_template(encoder, lambda text: text.replace("part['text'] }}", "part['text'] | upper }}"))
    try:
        with pytest.raises(DataError, match=r"example 'e0': the chat template does not keep the answer 'no'"):
            changed.supervised([micro.example(0)], [[micro.picture(0)]])
    finally:
        changed.processor.apply_chat_template = original


def test_a_prompt_that_merges_with_the_answer_is_an_error(encoder):
    changed, original = with_template(encoder, lambda text: text.replace("'Assistant:'", "'Assistant: '"))
    try:
        with pytest.raises(DataError, match=r"example 'e0': one token holds both the end of the prompt and the start"):
            changed.supervised([micro.example(0)], [[micro.picture(0)]])
    finally:
        changed.processor.apply_chat_template = original


def test_an_end_token_is_appended_where_the_template_has_none(encoder):
    changed, original = with_template(
        encoder, lambda text: text.replace("{% endfor %}<end_of_utterance>\n{% endfor %}", "{% endfor %}\n{% endfor %}")
    )
    try:
        batch = changed.supervised([micro.example(0, "yes")], [[micro.picture(0)]])
        assert labelled(changed, batch) == " yes<end_of_utterance>"
    finally:
        changed.processor.apply_chat_template = original


@pytest.mark.parametrize(
    ("spans", "tail", "first"),
    [
        ([(0, 4), (4, 8), (8, 10)], 2, 2),
        ([(0, 4), (5, 8), (8, 10)], 6, 1),  # a tokenizer that trims the blank at 4
        ([(0, 4), (4, 5), (4, 5), (5, 9)], 5, 1),  # one character of two tokens starts the answer
    ],
)
def test_the_first_label_by_hand(spans, tail, first):
    assert _first_label(spans, tail) == first


@pytest.mark.parametrize("spans", [[(0, 4), (4, 8)], [(0, 4), (6, 8)]])
def test_a_straddling_token_by_hand(spans):
    with pytest.raises(DataError, match="one token holds both"):
        _first_label(spans, 3 if spans[1][0] == 4 else 2)


def test_supervision_tells_texts_and_share(encoder):
    batch = encoder.supervised([micro.example(0, "no")], [[micro.picture(0)]])
    seen = encoder.supervision(batch)
    assert seen.texts == (" no<end_of_utterance>",)
    assert seen.share == pytest.approx(len(encoder.answer_ids(micro.example(0), "no")) / batch["input_ids"].numel())
