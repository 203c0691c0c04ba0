"""Scores of open tasks by the second code: against the stage's over drawn answers, and what the second code imports."""

import ast
import json
import re
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import finetune.recompute
import finetune.tasks
from finetune import plugins
from finetune.config.schema import TaskConfig
from finetune.data import tiles
from finetune.example import Score
from finetune.recompute import boxes as again_boxes
from finetune.recompute import numbers, of_extract, tasks
from finetune.scoring import fields as scored_fields
from finetune.scoring import numbers as number
from finetune.scoring.box_text import Placed, to_json

NEAR = 1e-9
FOLDER = Path(finetune.recompute.__file__).parent
GRADES = ("none", "mild", "moderate", "severe")
WORDS = (
    "the",
    "a",
    "two",
    "2",
    "crack",
    "Crack.",
    "crack's",
    "1.5",
    "1,5",
    "x-ray",
    ",",
    "liver",
    "Straße",
    "_",
    "yes",
    "an\u2013a",
)
TOLERANT = TaskConfig(kind="answer", options={"absolute": 0.5, "relative": 0.1, "unit": "mm"})
TASKS = {
    "tags": TaskConfig(kind="tags", labels=("a", "b", "c")),
    "detect": TaskConfig(kind="detect", labels=("a", "b")),
    "extract": TaskConfig(kind="extract", options={"fields": ["lot", "size"]}),
    "describe": TaskConfig(kind="describe"),
    "answer": TOLERANT,
    "classify": TaskConfig(labels=GRADES, options={"ordered": True}),
}

sides = st.one_of(st.integers(0, 12), st.integers(0, 1200).map(lambda n: n / 100))
spans = st.tuples(sides, sides).filter(lambda pair: pair[0] != pair[1]).map(sorted)
labels = st.sampled_from("aab")


@st.composite
def boxes(draw, scored):
    """Canonical text of a few boxes that often overlap by half or nearly so."""
    found = []
    for (x1, x2), (y1, y2), label in draw(st.lists(st.tuples(spans, spans, labels), max_size=4)):
        score = draw(st.sampled_from([0.2, 0.5, 0.5, 0.9])) if scored else None
        found.append(Placed(label, (x1, y1, x2, y2), score))
    return to_json(found)


values = st.recursive(
    st.one_of(
        st.sampled_from([None, True, False, 0, 1, 12, 12.0, -0.5, 12345678901234567, 12345678901234568, 10**400]),
        st.sampled_from(
            ["12", " 12.0", "1e1", "007", "+7", "7", "-07", "A-17", "a 17", "", "nan", "inf", "1_2", "the", "."]
        ),
        st.floats(allow_nan=False, allow_infinity=False, width=32),
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
    max_leaves=3,
)
fields = st.dictionaries(st.sampled_from(["lot", "size", "more"]), values, max_size=3).map(json.dumps)
prose = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)
amounts = st.tuples(
    st.sampled_from(["", "about ", "> ", "at least ", "not ", "-", "3 or ", "(", "over ", "exceeds about ", "x"]),
    st.sampled_from(
        ["5", "5.2", "0.5", "1,234", "1,2345", "1234,567", "1,5", ".5", "5 .5", "1e1", "\u22125", "5e400", "1,,2"]
    ),
    st.sampled_from(["", " ", "-", "\n", " / "]),
    st.sampled_from(
        ["", "mm", "cm", "in", '"', "inches", "long", "%", "\u00b0C", "mm2", "mm/s", "mm\u00b2", "cracks", "mm^2"]
    ),
    st.sampled_from(["", ".", " total", " and 5", "\n", "; 6 mm", " .", ",7"]),
).map("".join)
TEXTS = {
    "tags": (
        tags := st.lists(st.sampled_from("abc"), unique=True, max_size=3).map(lambda own: json.dumps(sorted(own))),
        tags,
    ),
    "detect": (boxes(False), st.one_of(boxes(False), boxes(True))),
    "extract": (fields, fields),
    "describe": (prose, prose),
    "answer": (st.one_of(prose, amounts), st.one_of(prose, amounts)),
    "classify": (st.sampled_from(GRADES), st.sampled_from(GRADES)),
}


@st.composite
def answered(draw, kind):
    """Golds, answers (often none at all) and groups (often one)."""
    gold, said = TEXTS[kind]
    count = draw(st.integers(1, 7))
    golds = draw(st.lists(gold, min_size=count, max_size=count))
    scored = draw(st.sampled_from(["mixed", "copied", "failed"]))
    answers = [
        None
        if scored == "failed"
        else golds[i]
        if scored == "copied"
        else draw(st.one_of(st.none(), said, st.just(golds[i])))
        for i in range(count)
    ]
    groups = draw(
        st.lists(st.sampled_from(draw(st.sampled_from(["p", "pq", "pqrst"]))), min_size=count, max_size=count)
    )
    return golds, answers, groups


def of_stage(task, columns):
    """What the task's own module says, metrics and extras."""
    module = plugins.load("task", task.kind)
    found = vars(module).get("metrics", lambda *_: {})(*columns)
    found |= vars(module).get("extras", lambda *_: {})(task, *columns)
    return {name: asdict(score) for name, score in found.items()}


def again(task, columns):
    return tasks.metrics(task.kind, *columns) | tasks.extras(task, *columns)


def assert_same(task, columns):
    wanted, found = of_stage(task, columns), again(task, columns)
    assert found.keys() == wanted.keys()
    for name, score in wanted.items():
        assert found[name] == pytest.approx(score, abs=NEAR, rel=0), name
    judge = plugins.load("task", task.kind).judge(task)
    reader = tasks.Reader(task, ())
    for gold, answer in zip(*columns[:2], strict=True):
        text = "I'm sorry, I can't help with that." if len(gold) % 2 else "?"
        assert reader.outcome(text, answer, gold) == judge(text, answer, gold), (gold, answer)


@pytest.mark.parametrize("kind", TASKS)
def test_both_codes_say_the_same(kind):
    @settings(max_examples=150, deadline=None)
    @given(answered(kind))
    def check(columns):
        assert_same(TASKS[kind], columns)

    check()


EDGES = [(["p"], 1), (["p", "p", "p"], 1), (["p", "q", "q"], 0), (list("pqrstuv"), 1)]
EMPTY = {"tags": "[]", "detect": "[]", "extract": "{}", "describe": "-", "answer": "the", "classify": "none"}


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize(("groups", "kept"), EDGES)
@pytest.mark.parametrize("said", ["all", "none", "first"])
def test_both_codes_say_the_same_at_the_edges(kind, groups, kept, said):
    """Nothing to find, all right, all failed, one group, one item."""
    golds = [EMPTY[kind]] * len(groups)
    rest = None if said != "all" else EMPTY[kind]
    answers = [gold if said == "first" and place < kept else rest for place, gold in enumerate(golds)]
    assert_same(TASKS[kind], (golds, answers, groups))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(boxes(False), boxes(True)), min_size=1, max_size=6), st.text("pqr", min_size=6, max_size=6))
def test_average_precision_is_the_same_by_either_code(items, groups):
    columns = [gold for gold, _ in items], [said for _, said in items], list(groups[: len(items)])
    assert_same(TASKS["detect"], columns)
    assert ("map_50" in again(TASKS["detect"], columns)) == any(said != "[]" for said in columns[1])


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(amounts, st.text('0123456789,. -+eE/<>=mcin"%^\n(xa_;', max_size=9)), st.sampled_from(["", "mm", "in"])
)
@example("1,2345", "")
@example("1234,567", "")
@example("5 .5", "mm")
def test_numbers_are_read_the_same_by_either_code(text, unit):
    assert numbers.read(text, unit) == number.read(text, unit)


@settings(max_examples=300, deadline=None)
@given(values, values)
@example(10**400, 1)
@example(12345678901234567, 12345678901234568)
@example("12", "1_2")
@example("7", "+07")
def test_fields_agree_the_same_by_either_code(gold, answer):
    assert of_extract.agree(gold, answer) == scored_fields.same(gold, answer)
    assert of_extract.agree(gold, gold)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), boxes(True), boxes(False)), min_size=4, max_size=4), st.integers(9, 16))
def test_tiles_are_put_together_the_same_by_either_code(answers, side):
    """Four tiles of a picture of 16 x 16 that overlap where they are larger than 8."""
    where = [(x, y, x + side, y + side) for y in (0, 16 - side) for x in (0, 16 - side)]
    assert json.loads(again_boxes.joined(answers, where, (16, 16))) == json.loads(tiles.join(answers, where, (16, 16)))


CLOSED = ["finetune.scoring", "finetune.stats", "finetune.evaluation", "finetune.tasks", "finetune.data.tiles"]
DATA = {"finetune.config.schema", "finetune.data", "finetune.data.example_files", "finetune.example", "finetune.rundir"}
"""Settings, rows and files."""
PARSER = {
    "finetune.scoring.assertions",
    "finetune.scoring.refusals",
    "finetune.scoring.measurement_units",
    "finetune.plugins",
}
"""What reads texts, the table of units, and what finds the parser of a task by its name."""


def imported(source):
    """What a module imports of the package, as far as one can tell: `from finetune import x` may be a module."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            whole = node.module in ("finetune", "finetune.recompute")
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if whole else {node.module}
    return {name for name in found if name.partition(".")[0] == "finetune"}


def strangers(source):
    return sorted(
        name for name in imported(source) if name not in DATA | PARSER and not name.startswith("finetune.recompute.")
    )


def test_the_second_code_knows_nothing_of_the_first():
    assert {file.name: found for file in FOLDER.glob("*.py") if (found := strangers(file.read_text()))} == {}
    assert [file.name for file in FOLDER.glob("*.py") if "finetune.plugins" in imported(file.read_text())] == [
        "tasks.py"
    ]
    dynamic = [file.name for file in FOLDER.glob("*.py") if re.search(r"import_module|__import__", file.read_text())]
    assert dynamic == ["tasks.py"]


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize(
    "form", ["import {0}.boxes", "from {0} import boxes", "from {0}.x import y", "from {1} import {2}"]
)
def test_an_import_of_the_first_code_is_seen(name, form):
    line = form.format(name, *name.rpartition(".")[::2])
    assert strangers(f"def late():\n    {line}\n")


def test_every_task_has_a_second_code():
    shipped = {file.stem for file in Path(finetune.tasks.__file__).parent.glob("[a-z]*.py")}
    assert {kind for kind in shipped if not tasks.known(kind)} == set()
    assert {file.stem.removeprefix("of_") for file in FOLDER.glob("of_*.py")} == shipped == set(TASKS)


def test_a_task_from_elsewhere_is_scored_by_its_own_functions(monkeypatch):
    score = Score(0.5, 0.4, 0.6)
    module = ModuleType("elsewhere")
    vars(module).update(
        METRICS=("luck",),
        metrics=lambda golds, answers, groups: {"luck": score},
        extras=lambda task, golds, answers, groups: {"chance": score},
        judge=lambda task: lambda text, answer, gold: "wrong",
        decides=lambda task, labels, one: True,
    )
    monkeypatch.setattr(plugins, "load", lambda seam, name: {("task", "riddle"): module}[seam, name])
    task = TaskConfig(kind="riddle")
    assert again(task, (["a"], ["a"], ["p"])) == {"luck": asdict(score), "chance": asdict(score)}
    assert tasks.Reader(task, ()).outcome("a", "a", "a") == "wrong"
    del module.METRICS
    assert tasks.metrics("riddle", ["a"], ["a"], ["p"]) == {}
