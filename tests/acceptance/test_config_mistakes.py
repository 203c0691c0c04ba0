"""Mistakes in the configuration: exit code 2, the key by name, and no run directory left behind."""

import json

import pytest
from acceptance import sources
from training import micro


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    """Runs a command that must end with 2, in an empty folder; returns what it said, in one line."""
    place = tmp_path / "empty"
    place.mkdir()
    monkeypatch.chdir(place)

    def run(*arguments: str) -> str:
        sources.run(*arguments, code=2)
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "Traceback" not in printed.err
        return " ".join(printed.err[printed.err.index("error: ") :].split())

    return run


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["recipe=defects", "sede=1"], ["sede: there is no such key. Did you mean seed?"]),
        (["recipe=defects", "+seed=1"], ["+seed=1: keys are neither added", "Write seed=1"]),
        (["recipe=defects", "~seed"], ["~seed: keys are neither added nor removed"]),
        (["recipe=defects", "data.folds=2.5"], ["data.folds: got 2.5 (a number), expected a whole number"]),
        (["recipe=defects", "train.epochs=many"], ["train.epochs: got 'many' (text), expected a number"]),
        (["recipe=defects", "train.epochs=0"], ["train.epochs: got 0, expected more than 0"]),
        (["recipe=defects", "method=lroa"], ["unknown method 'lroa'. Did you mean 'lora'?"]),
        (["recipe=defects", "stages=[train,prepare]"], ["in the order [prepare, train]"]),
        (
            ["recipe=defects", "task.labels=[yes,no]", "task.synonyms.ys=[ja]"],
            ["unknown label 'ys'. Did you mean 'yes'"],
        ),
        (
            ["recipe=defects", "task.labels=[true,1e3]"],
            ["task.labels[0]: got true (a YAML boolean), expected text: quote the label", "task.labels[1]: got 1000.0"],
        ),
        (["recipe=defects", "seed=1,2"], ["an unquoted comma means several values", "seed=[1,2]"]),
        (["recipe=defects", "data.path=${oc.env:HOME}"], ["'${...}' is not expanded here"]),
        (["recipe=defects", "model.id=hf_" + "a" * 20], ["model.id: looks like a credential"]),
        (["recipe=defects", "run.file_mode=rw"], ["run.file_mode: got 'rw', expected an octal mode such as '0640'"]),
        (
            ["recipe=defects", "model.family=florence2"],
            ["model.family: Florence-2 is not supported: an encoder", "a decoder of its own", "paligemma"],
        ),
        (["data.path=x", "data.adapter=tabel"], ["unknown adapter 'tabel'. Did you mean 'table'?"]),
        (["data.path=x", "data.split.test=0.6", "data.split.val=0.4"], ["val + test = 1 leaves nothing to train on"]),
        (["data.path=x", "task.labels=[Good,good]"], ["holds a label twice (case and blanks do not count)"]),
        (["predict"], ["required: --images"]),
        (["predict", "--images", "."], ["required: RUN"]),
        (["predict", "gone", "--images", "."], ["gone is not a run: it has no config.yaml"]),
        (["verify", "gone"], ["gone holds no run.json, so it is no run directory"]),
        (["verify"], ["verify takes one run directory, got 0"]),
    ],
)
def test_a_mistake_is_told_before_anything_is_written(refused, tmp_path, arguments, expected):
    told = refused(*arguments)
    assert [part for part in expected if part not in told] == []
    assert list((tmp_path / "empty").iterdir()) == []


def test_every_mistake_of_a_recipe_file_and_of_the_line_comes_at_once(refused, tmp_path, monkeypatch):
    (tmp_path / "own.yaml").write_text(
        "# Mine.\ndata:\n  adaptor: table\ntask:\n  labels: [yes, no, 01]\ntrain:\n  epochs: '3'\n"
    )
    monkeypatch.setenv("FINETUNE_RECIPES", str(tmp_path))
    told = refused("recipe=own", "trian.epochs=2", "+data.limit=5")
    assert "7 mistakes:" in told
    for part in (
        "trian: there is no such key. Did you mean train?",
        "+data.limit=5",
        "data.adaptor: there is no such key. Did you mean data.adapter?",
        "task.labels[0]: got true (a YAML boolean)",
        "task.labels[1]: got false",
        "task.labels[2]: got 1 (a whole number), expected text: quote the label",
        "train.epochs: got '3' (text), expected a number",
    ):
        assert part in told


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["data.options.grup=parent"], "data.options.grup: there is no such key"),
        (["data.options.group=parent"], "data.options.group: say it as data.group instead"),
        (["data.group=lot"], "data.group: got 'lot', expected 'parent' or 'regex:PATTERN'"),
        (["data.group='regex:('"], "is no regular expression"),
        (["data.split.column=split"], "data.split.column: the adapter image_folder takes none"),
        (["data.options.window=[7,7]"], "data.options.window: got [7, 7], expected [LOW,HIGH]"),
        (["data.options.frame=first"], "data.options.frame: got 'first' (text), expected a whole number"),
    ],
)
def test_options_are_checked_by_the_adapter(refused, tmp_path, arguments, expected):
    source = sources.folder(tmp_path / "source", parts=4)
    assert expected in refused(f"data.path={source}", "stages=[prepare]", "run.dir=run", *arguments)
    assert not (tmp_path / "empty" / "run" / "data" / "train.jsonl").exists()


@pytest.mark.parametrize("mark", ["''", "';;'", "'\"'"])
def test_a_delimiter_is_one_character(refused, tmp_path, mark):
    arguments = sources.table(tmp_path, sources.rows(tmp_path, parts=4))
    told = refused(*arguments, "stages=[prepare]", f"data.options.delimiter={mark}")
    assert "data.options.delimiter: got " in told
    assert "expected one character" in told


def test_a_path_for_a_source_that_makes_its_own_images(refused, tmp_path):
    assert "data.adapter=synthetic makes its images; leave it out" in refused("recipe=defects", "data.path=x")


@pytest.fixture
def prepared(tmp_path):
    """Arguments of a run whose data are ready."""
    source = sources.folder(tmp_path / "source")
    arguments = [f"data.path={source}", f"run.dir={tmp_path / 'run'}", "data.split.test=0.3", "hardware.device=cpu"]
    sources.run(*arguments, "stages=[prepare]")
    return arguments


def test_a_stage_cannot_stand_on_one_that_was_left_out(refused, prepared):
    told = refused(*prepared, "stages=[evaluate]")
    assert "stages: evaluate needs train, which has not finished" in told


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("model.path=gone", "gone"),
        ("train.trainer.fp16=true", "train.trainer.fp16: cannot be set here; say train.precision"),
        ("train.trainer.optm=x", "unknown field 'optm'. Did you mean 'optim'?"),
        ("train.augment=flip", "unknown set 'flip'. Did you mean 'flips'?"),
    ],
)
def test_what_only_the_training_can_check(refused, prepared, argument, expected):
    assert expected in refused(*prepared, argument)


def test_a_model_of_another_architecture(refused, prepared, tmp_path):
    model = micro.save(tmp_path / "model", model_type="smolvlm")
    told = refused(*prepared, f"model.path={model}")
    assert "idefics3" in told
    assert "smolvlm" in told


def test_weights_that_hold_code_are_refused(refused, prepared, tmp_path):
    model = micro.save(tmp_path / "model")
    (model / "modeling_own.py").write_text("raise SystemExit('ran')\n")
    settings = sources.document(model / "config.json")
    settings["auto_map"] = {"AutoModel": "modeling_own.Model"}
    (model / "config.json").write_text(json.dumps(settings))
    assert "code" in refused(*prepared, f"model.path={model}")
