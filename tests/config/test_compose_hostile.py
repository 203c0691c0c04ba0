"""The command line as shells and people mangle it: every value arrives as meant, or is refused by its key."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from finetune.config.compose import compose, from_yaml, run_folder, to_yaml
from finetune.errors import ConfigError

FAST = settings(deadline=None, max_examples=10)
PLAIN = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\\"), min_size=1, max_size=12
).filter(lambda text: text.strip() and "${" not in text)
"""Text that one pair of quotes holds; a backslash has a meaning of its own inside them."""


def quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


@FAST
@given(PLAIN)
@example("a,b")
@example("key=value")
@example("[x] {y} (z)")
@example("yes")
@example("1e3")
@example("=cmd()")
@example("<image>")
@example("caf\u00e9 \U0001f600")
@example('it\'s "quoted"')
def test_a_quoted_value_arrives_as_it_was_written(text):
    config = compose(["recipe=defects", f"task.question={quoted(text)}", f"data.split.salt={quoted(text)}"])
    assert (config.task.question, config.data.split.salt) == (text, text)


@pytest.mark.parametrize("labels", [["yes", "no"], ["1", "01"], ["null", "true"], ["a, b", "c: d"], ["[x]", "{y}"]])
def test_labels_with_a_meaning_of_their_own_survive_the_line_and_the_file(labels, tmp_path):
    config = compose(["data.path=x", f"task.labels=[{','.join(map(quoted, labels))}]"])
    assert list(config.task.labels) == labels
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert from_yaml(tmp_path / "config.yaml") == config


@FAST
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
@example("=")
@example("a=")
@example("a.b.c=[")
@example("seed='")
@example("seed=\0")
@example("recipe=../../etc/passwd")
@example("recipe=[defects]")
@example("data.options={a: {b: [1")
@example("run=3")
@example("@x=1")
@example("~~~")
@example("data@x=1")
@example("seed=choice(1,2)")
@example("data.path=glob(*)")
def test_noise_is_a_config_or_a_config_error(text):
    try:
        compose(["recipe=defects", text])
    except ConfigError as error:
        told = str(error)
    else:
        told = "composed"
    assert told.strip()


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("evaluate.batch_size=7", True),
        ("report.pictures=none", True),
        ("hardware.device=cpu", True),
        ("seed=1", False),
        ("train.epochs=9", False),
        ("data.split.salt=x", False),
        ("method.rank=3", False),
    ],
)
def test_a_command_finds_its_run_by_what_the_artefacts_depend_on(override, same):
    first, second = compose(["recipe=defects"]), compose(["recipe=defects", override])
    assert (run_folder(first) == run_folder(second)) is same
    assert run_folder(first).name.startswith("defects-")
