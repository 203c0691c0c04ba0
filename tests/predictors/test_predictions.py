"""Answers from a file: what is taken, what is read by the parser, and everything that may not fit."""

import json

import pytest
import synthetic

from finetune.config.schema import EvaluateConfig
from finetune.errors import ConfigError, DataError, IntegrityError
from finetune.pipeline import evaluate
from finetune.predictors import predictions
from finetune.rundir import read_json, read_jsonl


@pytest.fixture
def site(tmp_path):
    """A prepared run, its test examples and a function that reads rows through the predictor."""
    chosen, run = synthetic.prepare(tmp_path / "run", parts=2)
    examples = synthetic.examples(chosen, run, "test", range(2))
    path = tmp_path / "cnn.jsonl"

    def read(rows):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return list(predictions.predict(chosen, run, examples, run.data, synthetic.LABELS, path, "cnn"))

    return examples, read


def rows_of(examples, **more):
    return [{"id": example.id, "answer": example.target} | more for example in examples]


def test_bare_answers_in_any_order(site):
    examples, read = site
    found = read(rows_of(examples)[::-1])
    assert [p.id for p in found] == [example.id for example in examples]
    assert {p.outcome for p in found} == {"correct"}
    assert (found[0].text, found[0].probabilities, found[0].model) == ("good", None, "cnn")


def test_a_text_is_read_by_the_parser_of_the_task(site, capsys):
    examples, read = site
    rows = rows_of(examples)
    rows[0] = {"id": examples[0].id, "text": "Answer: a PIT."}
    rows[1] = {"id": examples[1].id, "text": "scratch or pit", "answer": "scratch"}
    rows[2] = {"id": examples[2].id, "answer": None}
    found = read(rows)
    assert [(p.answer, p.outcome) for p in found[:3]] == [("pit", "wrong"), (None, "unparsed"), (None, "unparsed")]
    assert "cnn: in 1 rows the parser reads another answer" in capsys.readouterr().err


def test_failures_and_what_else_a_row_may_say_are_kept(site):
    examples, read = site
    chances = {"good": 0.2, "scratch": 0.7, "pit": 0.1}
    first, second, *rest = rows_of(examples, seconds=0.5, model="resnet50", probabilities=chances)
    found = read([first | {"outcome": "api_error", "answer": None}, second | {"outcome": "wrong"}, *rest])
    assert (found[0].outcome, found[0].answer) == ("api_error", None)
    assert found[1].outcome == "correct"
    assert (found[1].probabilities, found[1].seconds, found[1].model) == (chances, 0.5, "resnet50")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "rust"}, r"cnn\.jsonl line 1: answer 'rust' is none of 'good', 'scratch', 'pit'"),
        ({"answer": 1}, r"line 1: answer is 1, expected text or null; write numbers as text"),
        ({"id": 7}, "line 1: expected an object with a text `id`"),
        ({"probabilities": {"good": 1.0}}, "line 1: probabilities must name exactly 'good', 'scratch', 'pit'"),
        ({"probabilities": {"good": 0.5, "scratch": 0.1, "pit": 0.1}}, r"line 1: probabilities must lie in 0\.\.1"),
    ],
)
def test_a_row_in_another_form(site, change, message):
    examples, read = site
    rows = rows_of(examples)
    rows[0] |= change
    with pytest.raises(DataError, match=message):
        read(rows)


def test_a_row_without_an_answer(site):
    examples, read = site
    with pytest.raises(DataError, match="line 1: has neither `text` nor `answer`"):
        read([{"id": examples[0].id}])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (lambda rows: rows[1:], "1 ids missing: 'part000_view0'"),
        (lambda rows: [*rows, rows[0]], "1 ids twice: 'part000_view0'"),
        (lambda rows: [*rows, rows[0] | {"id": "stranger"}], "1 ids not of this test split: 'stranger'"),
        (lambda rows: [rows[0] | {"gold": "pit"}, *rows[1:]], "gold differs for 1 ids: 'part000_view0'"),
        (lambda rows: [rows[0] | {"question": "Hm?"}, *rows[1:]], "question differs for 1 ids"),
        (lambda rows: [rows[0] | {"group": "part9"}, *rows[1:]], "group differs for 1 ids"),
        (lambda rows: [rows[0] | {"image_sha256": "0" * 64}, *rows[1:]], "image_sha256 differs for 1 ids"),
    ],
)
def test_rows_of_another_test(site, rows, message):
    examples, read = site
    with pytest.raises(IntegrityError, match=message):
        read(rows(rows_of(examples)))


def test_pixels_that_prepare_did_not_decode_are_decoded_now(tmp_path):
    """`data.decode=headers` leaves null in the manifest."""
    chosen, run = synthetic.prepare(tmp_path / "run", parts=1)
    expected = {row["id"]: row["pixels_sha256"] for row in read_jsonl(run.manifest)}
    run.write_jsonl(run.manifest, [row | {"pixels_sha256": None} for row in read_jsonl(run.manifest)])
    examples, path = synthetic.examples(chosen, run, "test", range(1)), tmp_path / "cnn.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows_of(examples)), encoding="utf-8")
    found = predictions.predict(chosen, run, examples, run.data, synthetic.LABELS, path, "cnn")
    assert {row.id: row.image_sha256 for row in found} == {e.id: expected[e.id] for e in examples}


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        predictions.identity(tmp_path / "cnn.jsonl")


def test_in_a_comparison_and_asked_again_when_the_file_changes(tmp_path):
    chosen, run = synthetic.prepare(tmp_path / "run", parts=10)
    path = tmp_path / "Our CNN.jsonl"
    examples = synthetic.examples(chosen, run, "test", range(10))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows_of(examples)), encoding="utf-8")
    models = ("majority", f"predictions:{path}")
    chosen = synthetic.replace(chosen, evaluate=EvaluateConfig(models=models))
    evaluate.run(chosen, run)
    assert read_json(run.comparison)["models"]["our_cnn"]["accuracy"]["value"] == 1.0
    path.write_text(path.read_text(encoding="utf-8").replace('"scratch"', '"pit"'), encoding="utf-8")
    evaluate.run(chosen, run)
    assert sum(row["outcome"] == "wrong" for row in read_jsonl(run.predictions("our_cnn"))) == 6
