"""Dialects of conversations, each brought to the same examples."""

import json

import pytest
from PIL import Image

from data_adapters.conversations import Options, read
from finetune.errors import DataError
from finetune.example import Box, ImageRef, Message


@pytest.fixture
def told(tmp_path):
    """Reads rows written to a file, beside images a.png and b.png of 10 x 6."""

    def rows(content, **options):
        for name in ("a.png", "b.png"):
            Image.new("RGB", (10, 6)).save(tmp_path / name)
        (tmp_path / "conversations.json").write_text(json.dumps(content))
        return list(read(tmp_path, Options(**options), tmp_path))

    return rows


USER, REPLY = Message("user", "What is it?"), "A dent."
LLAVA = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": REPLY}]
PARTS = [{"type": "image_url", "image_url": {"url": "a.png"}}, {"type": "text", "text": "What is it?"}]


@pytest.mark.parametrize(
    "row",
    [
        {"image": "a.png", "conversations": LLAVA},
        {"images": ["a.png"], "conversations": LLAVA},
        {"messages": [{"role": "user", "content": PARTS}, {"role": "assistant", "content": REPLY}]},
        {"images": [{"path": "a.png"}], "messages": [{"role": "user", "content": "<image>What is it?"},
                                                     {"role": "assistant", "content": REPLY}]},
        {"image_path": "a.png", "question": "What is it?", "answer": REPLY},
        {"messages": [{"role": "user", "content": PARTS}], "answer": REPLY},
    ],
)  # fmt: skip
def test_dialects(told, row):
    (example,) = told([row])
    assert (example.images, example.messages, example.target) == ((ImageRef("a.png"),), (USER,), REPLY)


def test_choices_of_vlmevalkit_become_lines(told):
    (example,) = told([{"image": "a.png", "hint": "Look.", "question": "Which?", "A": "x", "B": "y", "answer": "B"}])
    assert example.messages == (Message("user", "Look.\nWhich?\nA. x\nB. y"),)


def test_every_reply_or_the_last(told):
    more = [*LLAVA, {"from": "human", "value": "Sure?"}, {"from": "gpt", "value": "Yes."}]
    row = {
        "images": ["a.png", "b.png"],
        "conversations": [{"from": "human", "value": "<image><image>\nWhat is it?"}, *more[1:]],
    }
    (last,) = told([row])
    assert (last.target, len(last.images), len(last.messages)) == ("Yes.", 2, 3)
    first, second = told([row], turns="each")
    assert (first.target, first.messages, second.target) == (REPLY, (USER,), "Yes.")
    assert (first.id, second.id, first.group) == ("a.png#1/1", "a.png#1/2", second.group)


def test_boxes_of_ms_swift(told):
    objects = {"ref": ["dent", "hole"], "bbox": [[1, 1, 3, 3], [4, 2, 8, 5]]}
    said = [{"role": "user", "content": "<image>Find all."}, {"role": "assistant", "content": "<ref-object><bbox>"}]
    (example,) = told([{"images": ["a.png"], "messages": said, "objects": objects, "rejected_response": "none"}])
    assert example.boxes == (Box(1, 1, 3, 3, "dent"), Box(4, 2, 8, 5, "hole"))
    assert (example.target, example.rejected) == ("", "none")
    shares = {"ref": ["dent"], "bbox": [[0.1, 0.5, 0.3, 1.0]], "bbox_type": "norm1"}
    (example,) = told([{"images": ["a.png"], "messages": said, "objects": shares}])
    assert example.boxes == (Box(1.0, 3.0, 3.0, 6.0, "dent"),)


@pytest.mark.parametrize("formatting", ["sharegpt", "alpaca"])
def test_dataset_info_of_llama_factory(told, tmp_path, formatting):
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "bot"}
    entry = {"file_name": "conversations.json", "formatting": formatting, "columns": {"images": "pictures"}}
    turns = [{"role": "user", "content": "<image>What is it?"}, {"role": "bot", "content": REPLY}]
    row = {"conversations": turns, "pictures": ["a.png"], "instruction": "<image>What is it?", "output": REPLY}
    entry |= {"tags": tags} if formatting == "sharegpt" else {}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": entry, "far": {"hf_hub_url": "x/y"}}))
    (example,) = told([row], dataset="mine")
    assert (example.messages, example.target, example.images[0].path) == ((USER,), REPLY, "a.png")
    with pytest.raises(DataError, match=r"'far' names no file_name; nothing is fetched"):
        told([row], dataset="far")
    with pytest.raises(DataError, match=r"has no 'other'; there is mine, far"):
        told([row], dataset="other")


ALPACA = {"prompt": "instruction", "response": "output", "images": "images", "system": "rules", "history": "past"}


def listed(tmp_path, **entry):
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": {"file_name": "conversations.json"} | entry}))


def test_system_prompt_and_earlier_turns_of_alpaca(told, tmp_path):
    listed(tmp_path, columns=ALPACA)
    row = {"instruction": "And now?", "output": REPLY, "images": ["a.png"], "rules": "Be brief."}
    (example,) = told([row | {"past": [["<image>What is it?", "A cell."]]}], dataset="mine")
    said = [("system", "Be brief."), ("user", "What is it?"), ("assistant", "A cell."), ("user", "And now?")]
    assert [(turn.role, turn.text) for turn in example.messages] == said
    (bad,) = told([row | {"past": ["What is it?"]}], dataset="mine")
    assert "past is no list of pairs, a question and a reply each" in bad.reason


@pytest.mark.parametrize("columns", [None, ["instruction"], {"prompt": ["instruction"]}])
def test_columns_that_are_no_names(told, tmp_path, columns):
    listed(tmp_path, columns=columns)
    with pytest.raises(DataError, match=r"dataset_info.json 'mine': columns is no object of names, each a text"):
        told([{}], dataset="mine")


def test_a_speaker_that_is_no_text(told, tmp_path):
    listed(tmp_path, formatting="sharegpt")
    (bad,) = told([{"conversations": [{"from": ["human"], "value": "x"}], "images": ["a.png"]}], dataset="mine")
    assert "a turn has no text in 'from', which says who speaks" in bad.reason


def test_a_system_prompt_in_a_key_of_its_own(told):
    """As ShareGPT and older rows of ms-swift have it; it would be lost among the keys that nobody reads."""
    (example,) = told([{"image": "a.png", "system": "Be brief.", "conversations": LLAVA}])
    assert example.messages == (Message("system", "Be brief."), USER)
    twice = [{"from": "system", "value": "Be long."}, *LLAVA]
    (bad,) = told([{"image": "a.png", "system": "Be brief.", "conversations": twice}])
    assert bad.reason == "has a system prompt as a key and one as a turn; which one is meant?"
    (bad,) = told([{"image": "a.png", "system": 5, "conversations": LLAVA}])
    assert bad.reason == "system is a int, expected text."


CALL = {"role": "assistant", "content": "See.", "tool_calls": [{"function": {"name": "zoom"}}]}
SAID = {"role": "user", "content": "<image>What is it?"}
MOVES = {"role": "user", "content": [{"type": "video", "video": "a.mp4"}, {"type": "text", "text": "What?"}]}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"videos": ["a.mp4"], "conversations": LLAVA}, "has videos, which no model here is given; leave such rows"),
        ({"audios": ["a.wav"], "tools": "[]", "conversations": LLAVA}, "has audios, tools, which no model here"),
        ({"messages": [SAID, CALL]}, "turn 2 has tool_calls; tools are not supported."),
        ({"messages": [SAID, CALL | {"tool_calls": None, "function_call": {"name": "zoom"}}]}, "turn 2 has function_c"),
        ({"messages": [SAID, {"role": "tool", "content": "{}"}]}, "turn 2 is by 'tool'; expected one of system, user"),
        ({"messages": [MOVES, {"role": "assistant", "content": "x"}]}, "turn 1 has a part \"{'type': 'video'"),
        ({"conversations": [{"from": "human", "value": "<video>\nWhat?"}, LLAVA[1]]}, "turn 1 holds <video>, which no"),
        ({"conversations": [{"from": "human", "value": "<image>\n"}, LLAVA[1]]}, "turn 1, of the user, is empty."),
        ({"question": "", "answer": "x"}, "question is '', expected text."),
    ],
)
def test_what_is_neither_image_nor_text_is_refused_by_name(told, row, reason):
    (bad,) = told([{"image": "a.png"} | row])
    assert bad.row == "conversations.json row 1"
    assert bad.reason.startswith(reason)


@pytest.mark.parametrize("turns", ["last", "each"])
def test_no_reply_may_be_empty_even_in_the_middle(told, turns):
    talk = [LLAVA[0], {"from": "gpt", "value": " "}, {"from": "human", "value": "Sure?"}, {"from": "gpt", "value": "x"}]
    (bad,) = told([{"image": "a.png", "conversations": talk}], turns=turns)
    assert bad.reason == "turn 2, of the assistant, is empty."


@pytest.mark.parametrize("formatting", ["sharegpt", "alpaca"])
def test_videos_and_tools_of_llama_factory(told, tmp_path, formatting):
    listed(tmp_path, formatting=formatting, columns={"videos": "clips", "messages": "turns"})
    row = {"turns": LLAVA, "instruction": "<image>What is it?", "output": REPLY, "images": ["a.png"]}
    assert [example.target for example in told([row], dataset="mine")] == [REPLY]
    for more, said in (({"clips": ["a.mp4"]}, "has videos"), ({"tools": "[]"}, "has tools")):
        (bad,) = told([row | more], dataset="mine")
        assert bad.reason == f"{said}, which no model here is given; leave such rows out."


def test_an_image_in_the_middle_by_request(told):
    turns = [{"from": "human", "value": "See <image> here"}, {"from": "gpt", "value": "x"}]
    (example,) = told([{"image": "a.png", "conversations": turns}], placeholders="front")
    assert example.messages == (Message("user", "See here"),)
