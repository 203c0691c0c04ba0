import pytest

from finetune.scoring.refusals import looks_refused
from finetune.tasks import answer, classify


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that request.",
        "I\u2019m sorry, I can\u2019t help with that.",
        "Sorry.",
        "I cannot provide a medical diagnosis.",
        "I'm unable to analyze medical images. Please consult a radiologist.",
        "As an AI language model, I am not able to interpret X-rays.",
        "I apologize, but I am not able to identify people in images.",
        "I won't help with this.",
        "This request goes against our content policy.",
        "I must decline to answer.",
        "Unfortunately, I can't comply.",
        "<think>Is there a policy?</think>I can't help with identifying this person.",
    ],
)
def test_declining_is_seen(text):
    assert looks_refused(text)
    assert classify.outcome(text, None, "good") == "refused"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The image is too dark to tell.",
        "dent",
        "The right lung.",
        "It is unclear.",
        "No answer.",
        "cannot",
        "policy",
    ],
)
def test_doubt_is_no_refusal(text):
    assert not looks_refused(text)
    assert classify.outcome(text, None, "good") == "unparsed"


def test_a_reply_with_an_answer_is_no_refusal():
    text = "I'm sorry, I can't be sure about this.\nAnswer: dent"
    found = classify.parse(text, ("good", "dent"))
    assert (found, classify.outcome(text, found, "good")) == ("dent", "wrong")


def test_thoughts_about_declining_are_none():
    assert not looks_refused("<think>I can't help with that... or can I?</think>dent")


def test_an_open_refusal_is_no_answer():
    text = "I'm sorry, but I can't help with that."
    assert answer.parse(text, ()) is None
    assert answer.outcome(text, None, "liver") == "refused"
