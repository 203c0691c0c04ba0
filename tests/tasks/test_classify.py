import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.config.schema import TaskConfig
from finetune.example import Example, ImageRef, Message
from finetune.tasks import classify

DEFECTS = ("good", "cut", "fold", "pin-hole")
SYNONYMS = {"good": ("no defect", "flawless"), "cut": ("slit",)}
EXAMPLE = Example("x#1", (ImageRef("x.png"),), "cut", "x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cut", "cut"),
        ("Cut.", "cut"),
        ("**CUT**", "cut"),
        ("`cut`!", "cut"),
        ("_cut_", "cut"),
        ("It shows a slit.", "cut"),
        ("No defect", "good"),
        ("There is no\ndefect here.", "good"),
        ("pin-hole", "pin-hole"),
        ("I first thought of a fold. Answer: cut", "cut"),
        ("Answer: fold\nOn second thoughts, answer: cut", "cut"),
        ("Answer: fold\nFinal answer: cut", "cut"),
        ("Answer:\n\n**fold**", "fold"),
        ("<answer>fold</answer>", "fold"),
        ("<think>it may be a fold</think> cut", "cut"),
        ("maybe a fold, or good</think>cut", "cut"),
        ("It is not a cut but a fold.", "fold"),
        ("There isn't any cut; it is a fold.", "fold"),
        ("A cut is not visible, the state is fold", "fold"),
        ("cut: no\nfold: yes", "fold"),
    ],
)
def test_an_answer_is_read(text, expected):
    assert classify.parse(text, DEFECTS, SYNONYMS) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot tell.",
        "cut or fold",
        "Final answer: cut. No, wait.\nFinal answer: fold",
        "not a cut",
        "The answer is not cut",
        "The part is non-good",
        "cutting edge, folded, hole",
        "<think>cut",
        "c*ut",
        "A cut is ruled out",
    ],
)
def test_nothing_is_guessed(text):
    assert classify.parse(text, DEFECTS, SYNONYMS) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Answer", None),
        ("This is a scratch", None),
        ("Answer: (b)", "B"),
        ("C. 12", "C"),
        ("**B**", "B"),
        ("<answer>b</answer>", "B"),
        ("I would say B.", "B"),
        ("A or B.", None),
    ],
)
def test_letters_are_labels_only_where_they_stand_as_one(text, expected):
    assert classify.parse(text, ("A", "B", "C"), {}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Do you notice anything?", None), ("No.", "no"), ("No, there is none", "no"), ("Yes", "yes")],
)
def test_no_is_not_in_notice(text, expected):
    assert classify.parse(text, ("yes", "no"), {}) == expected


def test_a_label_may_hold_markup():
    assert classify.parse("It is C#", ("C#", "F#"), {}) == "C#"
    assert classify.parse("it is pin_hole", ("pin_hole", "good"), {}) == "pin_hole"


def test_composed_and_decomposed_accents_are_one_spelling():
    assert classify.parse("de\u0301faut", ("d\u00e9faut", "bon"), {}) == "d\u00e9faut"


WORDS = st.lists(
    st.sampled_from(
        [*DEFECTS, "slit", "No defect", "not", "Answer:", "a", "<answer>", "</answer>", "**", "\n", "final"]
    )
    | st.text(max_size=8)
)


@settings(deadline=None)
@given(WORDS)
def test_never_returns_a_label_that_is_not_in_the_text(words):
    text = " ".join(words)
    answer = classify.parse(text, DEFECTS, SYNONYMS)
    plain = " ".join(text.casefold().replace("*", " ").replace("_", " ").replace("`", " ").replace("~", " ").split())
    plain = " ".join(plain.replace("#", " ").split())
    assert answer is None or any(spelling in plain for spelling in (answer, *SYNONYMS.get(answer, ())))


@settings(deadline=None)
@given(
    st.sampled_from(DEFECTS),
    st.sampled_from(["{}", "{}.", "**{}**", "Answer: {}", "({})", "It is {}, I think", "\n{}\n"]),
)
def test_every_label_is_read_in_every_usual_form(label, form):
    assert classify.parse(form.format(label.upper()), DEFECTS, SYNONYMS) == label


def test_the_question_is_verbatim_and_lists_the_labels():
    task = TaskConfig(question="What is it? {labels}!")
    assert classify.messages(task, DEFECTS, EXAMPLE) == (Message("user", "What is it? good, cut, fold, pin-hole!"),)


def test_a_question_of_the_row_wins():
    own = Example("x#1", (ImageRef("x.png"),), "cut", "x", messages=(Message("user", "Own {labels}?"),))
    assert classify.messages(TaskConfig(), DEFECTS, own) == own.messages


def test_labels_are_the_declared_ones_in_their_order_else_those_found():
    assert classify.labels(TaskConfig(labels=("b", "a")), []) == ("b", "a")
    assert classify.labels(TaskConfig(), [EXAMPLE, Example("y", EXAMPLE.images, "bent", "y"), EXAMPLE]) == (
        "bent",
        "cut",
    )


@pytest.mark.parametrize(("answer", "expected"), [("cut", "correct"), ("fold", "wrong"), (None, "unparsed")])
def test_outcome(answer, expected):
    assert classify.outcome("reply", answer, "cut") == expected


@pytest.mark.parametrize(
    "text",
    [
        "non\u2011defective",
        "non\u2013defective",
        "Answer: non\u2011defective",
        "**non**defective",
        "un\u00addefective",
        "Negative for defective",
        "defective: negative",
        "Defective: not present",
        "defective \u2014 none",
        "defective (none)",
        "The cell is certainly not defective",
        "There is nothing defective here",
        "anything but defective",
        "It is false that the cell is defective",
        "- [ ] defective",
        "I'm sorry, I'm unable to help with identifying conditions such as defective.",
        "I decline to give an opinion on defective.",
        "My policy prohibits diagnosing defective.",
    ],
)
def test_what_is_denied_or_declined_is_no_answer(text):
    assert classify.parse(text, ("defective", "functional")) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("**defective**", "defective"),
        ("Nothing to add: defective", "defective"),
        ("defective (no doubt)", "defective"),
        ("functional \u2014 no cracks", "functional"),
        ("- [x] defective", "defective"),
    ],
)
def test_what_is_said_still_counts(text, said):
    assert classify.parse(text, ("defective", "functional")) == said
