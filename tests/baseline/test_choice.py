"""The baseline's own prompt: the best wording and number of worked examples on validation, and never on test."""

from dataclasses import replace

import pytest
from baseline import server, small_run
from baseline.small_run import ask, configured, outcomes

from finetune.baseline import fairness, pack, prompts
from finetune.baseline.prompts import Setup
from finetune.errors import ConfigError
from finetune.example import Example, ImageRef, Message
from finetune.rundir import read_json, read_jsonl


def told_apart(handler):
    """Right about every second picture when asked politely, with an example before it; else always ALPHA."""
    body = handler.provider.arrived[-1].json
    last = body["messages"][-1]["content"][-1]["text"]
    polite = last.startswith("Please") and len(body["messages"]) == 3
    number = sum("Please" in str(one.json) and len(one.json["messages"]) == 3 for one in handler.provider.arrived)
    server.says(small_run.LABELS[(number - 1) % 2] if polite else "ALPHA")(handler)


def test_the_best_on_validation_is_used(run, provider):
    provider.usual = told_apart
    config = configured(run, provider.url, prompts=("Please: {question} ({labels})",), shots=(0, 1))
    small_run.permit(run, endpoint=provider.url, fields=["image", "question", "examples"])
    assert outcomes(ask(config, run)) == ["correct"] * 6
    assert len(provider.arrived) == 4 * 4 + 6
    choice = read_json(run.eval / "rival.baseline.json")["prompt_choice"]
    assert [(row["prompt"] is None, row["shots"], row["correct"], row["chosen"]) for row in choice] == [
        (True, 0, 2, False),
        (True, 1, 2, False),
        (False, 0, 2, False),
        (False, 1, 4, True),
    ]
    rows = list(read_jsonl(run.validation("rival")))
    assert [row["outcome"] for row in rows] == ["correct"] * 4
    assert {row["question"] for row in rows} == {small_run.QUESTION}  # what pairs models stays the run's own question
    last = provider.arrived[-1].json["messages"]
    assert last[-1]["content"][-1]["text"] == f"Please: {small_run.QUESTION} (ALPHA, BETA)"
    assert last[1] == {"role": "assistant", "content": "ALPHA"}
    ask(config, run)
    assert len(provider.arrived) == 22


@pytest.mark.parametrize(("shots", "status"), [((0, 1), "pass"), ((), "fail"), ((1,), "fail")])
def test_a_pack_and_the_run_that_recorded_it_say_the_same_of_the_prompt(run, provider, tmp_path, shots, status):
    provider.usual = server.says("ALPHA")
    config = configured(run, provider.url, shots=shots)
    small_run.permit(run, endpoint=provider.url, fields=["image", "question", "examples"])
    rows = ask(config, run)
    about = read_json(run.eval / "rival.baseline.json")
    folder = pack.write(tmp_path / "pack", about, rows, [()] * len(rows))
    recorded = replace(config, baseline=replace(config.baseline, kind="recorded", shots=(), path=str(folder)))
    found = [fairness.check(config, about), fairness.check(recorded, pack.read(folder).about)]
    prompts_ = [row for rows in found for row in rows if row["check"] == "prompt"]
    assert [row["status"] for row in prompts_] == [status, status]
    assert prompts_[0] == prompts_[1]


def test_choosing_needs_validation(run, provider):
    config = configured(run, provider.url, prompts=("Say: {question}",))
    run.write_jsonl(run.parts(0)[0].split("val"), [])
    with pytest.raises(ConfigError, match="chosen on validation, which is empty"):
        ask(config, run)


def example(name, question, target="ALPHA"):
    return Example(name, (ImageRef("x.png"),), target, name, (Message("user", question),))


def test_another_wording_keeps_the_question_where_there_are_several():
    asked = [example("a", "Is it red?"), example("b", "Is it blue?")]
    with pytest.raises(ConfigError, match=r"'Look.' must hold \{question\}"):
        prompts.check(["Look."], asked)
    prompts.check(["Look. {question}"], asked)
    prompts.check(["Look."], asked[:1])
    assert prompts.wording(Setup("{question} One of {labels}."), ("x", "y"), asked[0]) == "Is it red? One of x, y."


def test_worked_examples_take_turns_over_labels():
    train = [example(f"{label}{number}", "?", label) for label in ("ALPHA", "BETA") for number in range(3)]
    chosen = prompts.worked(train, ("ALPHA", "BETA"), 4)
    assert [one.target for one in chosen] == ["ALPHA", "BETA", "ALPHA", "BETA"]
    assert prompts.worked(list(reversed(train)), ("ALPHA", "BETA"), 4) == chosen
    assert prompts.worked(train, ("ALPHA", "BETA"), 0) == ()


def test_a_live_baseline_says_what_it_lacks(run, provider):
    config = configured(run, provider.url)

    def lacking(**changes):
        return replace(config, baseline=replace(config.baseline, **changes))

    for changed, told in (
        (lacking(model=None), "expected a model id"),
        (lacking(kind="any_llm", model="gpt-4o"), "PROVIDER/MODEL"),
        (lacking(api_key_env="RIVAL_THAT_IS_NOT_SET_API_KEY"), "RIVAL_THAT_IS_NOT_SET_API_KEY is not set"),
        (lacking(kind="any_llm", model="openai/gpt-4o", api_key_env=None), "needs baseline.api_key_env"),
        (lacking(kind="any_llm", model="nobody/gpt-4o"), "any-llm cannot open 'nobody'"),
    ):
        with pytest.raises(ConfigError, match=told):
            ask(changed, run)
    assert provider.arrived == []
