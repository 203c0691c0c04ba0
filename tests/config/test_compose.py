"""From a command line to a Config."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.config import compose as module
from finetune.config.checks import problems
from finetune.config.checks_evaluation import NEEDS
from finetune.config.compose import compose, from_yaml, groups, recipes, run_folder, to_yaml
from finetune.config.convert import dotted_keys
from finetune.config.schema import Config, DataConfig, SplitConfig, TaskConfig, TrainConfig
from finetune.errors import ConfigError


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FINETUNE_RECIPES", str(tmp_path))
    return tmp_path


def refused(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    return str(caught.value)


def test_defaults_groups_and_values() -> None:
    config = compose(["method=qlora", "train.epochs=7", "data.options.file=x.csv", "task.labels=[yes,no,01]"])
    assert config.method.quantise == "nf4"
    assert config.train.epochs == 7.0
    assert config.data.options == {"file": "x.csv"}
    assert config.task.labels == ("yes", "no", "01")
    assert config.model.id == "embedded"


@pytest.mark.parametrize("name", sorted(recipes()))
def test_every_shipped_recipe_composes_and_says_what_it_is(name: str) -> None:
    config = compose([f"recipe={name}"])
    assert config.recipe == name
    assert "{labels}" in config.task.question
    assert module.headline(recipes()[name])
    assert recipes()[name].with_suffix(".md").exists()


@pytest.mark.parametrize("choice", [f"{g}={o}" for g, options in groups().items() if g != "recipe" for o in options])
def test_every_group_option_composes(choice: str) -> None:
    group, _, option = choice.partition("=")
    given = {"path": "pack", "base_url": "http://localhost:1/v1", "model": "provider/name"}
    needed = [f"baseline.{key}={given[key]}" for key in NEEDS[option]] if group == "baseline" else []
    needed += ["launch=torchrun"] if option.startswith("zero") else []
    assert isinstance(compose([choice, *needed]), Config)


def test_an_own_recipe_builds_on_another_and_chooses_groups(own: Path) -> None:
    (own / "line.yaml").write_text("# a line\ntrain: {epochs: 5, batch_size: 3}\n")
    (own / "child.yaml").write_text("# a child\ndefaults: [line, override /method: qlora]\ntrain: {epochs: 9}\n")
    config = compose(["recipe=child", "train.batch_size=2"])
    assert (config.train.epochs, config.train.batch_size, config.method.quantise) == (9.0, 2, "nf4")


def test_labels_that_yaml_turns_into_other_things_are_refused(own: Path) -> None:
    (own / "bad.yaml").write_text("task: {labels: [yes, no, 01]}\ntrain: {epochz: 3}\n")
    message = refused("recipe=bad")
    assert message.startswith("4 mistakes:")
    for expected in ("labels[0]: got true", "labels[1]: got false", "labels[2]: got 1", "Did you mean train.epochs?"):
        assert expected in message


def test_an_own_recipe_cannot_replace_a_shipped_one(own: Path) -> None:
    name = sorted(set(recipes()))[0]
    (own / f"{name}.yaml").write_text("train: {epochs: 99}\n")
    assert compose([f"recipe={name}"]).train.epochs != 99


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["recipe=defcts"], "recipe: unknown recipe 'defcts'. Did you mean 'defects'?"),
        (["model=tny"], "model: unknown model 'tny'. Did you mean 'tiny'?"),
        (["train.epochz=3"], "train.epochz: there is no such key. Did you mean train.epochs?"),
        (["batch_size=3"], "Did you mean train.batch_size?"),
        (["+train.lr=1"], "'+' is not used. train.lr: there is no such key. Did you mean train.learning_rate?"),
        (["+train.epochs=1"], "'+' is not used. Write train.epochs=1"),
        (["~train.epochs"], "'~' is not used. Write train.epochs"),
        (["model@x=tiny"], "'@' is not used here"),
        (["train.epochs=abc"], "train.epochs: got 'abc' (text), expected a number"),
        (["task.labels=[true,1e3]"], "task.labels[1]: got 1000.0 (a number), expected text: quote the label"),
        (["task.question=a,b"], "an unquoted comma means several values"),
        (["task.question=is it: {"], "task.question: cannot read"),
        (["train.epochs.x=1"], "train.epochs.x: train.epochs is a single value, it has no keys below"),
        (["data.path=sk-abcdefghijklmnopqrst"], "looks like a credential; give the name of an environment variable"),
        (["data.path=${oc.env:HOME}"], "'${...}' is not expanded here"),
        (["data.adapter=tabel"], "data.adapter: unknown adapter 'tabel'. Did you mean 'table'?"),
        (["stages=[train,prepare]"], "expected each once in the order [prepare, train]"),
        (["stages=[trian]"], "stages: unknown stage 'trian'. Did you mean 'train'?"),
        (["data.split.val=0.5", "data.split.test=0.5"], "val + test = 1 leaves nothing to train on"),
        (["data.split.test=1.5"], "data.split.test: got 1.5"),
        (["data.folds=1"], "data.folds: got 1, expected 0 (off) or at least 2"),
        (["data.folds=3", "data.split.column=x"], "exclude each other"),
        (["data.limit=0"], "data.limit: got 0"),
        (["data.split.test=0"], "data.split.test: got 0, but evaluate and export among the stages need test examples"),
        (["data.split.test=0", "stages=[prepare,train,export]"], "but export among the stages need test examples"),
        (["train.augment=flip"], "train.augment: unknown set 'flip'. Did you mean 'flips'?"),
        (["task.labels=[a,A]"], "holds a label twice"),
        (["task.labels=[a,' ']"], "an empty label cannot be answered"),
        (["task.labels=[a,b]", "task.synonyms.c=[x]"], "task.synonyms.c: unknown label 'c'"),
        (["task.labels=[a,b]", "evaluate.positive=c"], "evaluate.positive: unknown label 'c'"),
        (["task.question=' '"], "task.question: is empty"),
        (["train.checkpoint=0"], "train.checkpoint: got 0, expected at least 1 step"),
        (["train.balance=true", "train.shuffle=false"], "it needs train.shuffle=true"),
        (["method.rank=0"], "method.rank: got 0, expected more than 0"),
        (["method.dropout=1"], "method.dropout: got 1"),
        (["method.targets={vision_tower:none,projector:none,language_model:none}"], "nothing to train"),
        (["method=qlora", "method.targets.language_model=full"], "can only carry LoRA"),
        (["run.file_mode='9'"], "expected an octal mode"),
        (["run.file_mode='0444'"], "that lets the owner read and write"),
        (["seed=-1"], "seed: got -1, expected 0 to 4294967295"),
        (["train.learning_rate=nan"], "train.learning_rate: got nan, expected a finite number"),
        (["train.learning_rates.vision_tower=0"], "learning_rates.vision_tower: got 0, expected more than 0, or null"),
        (["hardware.threads=0"], "hardware.threads: got 0, expected more than 0, or null"),
        (["hardware.workers=-1"], "hardware.workers: got -1, expected 0 or more"),
        (
            ["task.labels=[good,bad]", "task.synonyms={good:[Fine],bad:[fine]}"],
            "task.synonyms: 'fine' stands for 'bad' and 'good'; it may name only one label",
        ),
        (["task.labels=[good,bad]", "task.synonyms={good:[bad]}"], "'bad' stands for 'bad' and 'good'"),
        (["nonsense"], "expected KEY=VALUE, GROUP=OPTION"),
    ],
)
def test_a_mistake_is_refused_with_the_next_step(overrides: list[str], message: str) -> None:
    assert message in refused(*overrides)


def test_all_mistakes_come_in_one_message() -> None:
    message = refused("train.epochz=1", "model=tny", "+seed=3", "train.batch_size=x", "task.question=a,b")
    assert message.startswith("5 mistakes:")


@pytest.mark.parametrize(
    ("text", "expected"), [("- a\n", "expected keys and values at the top"), ("a: [", "is not YAML")]
)
def test_a_recipe_that_is_no_mapping_is_refused(own: Path, text: str, expected: str) -> None:
    (own / "odd.yaml").write_text(text)
    assert expected in refused("recipe=odd")


def test_a_recipe_may_not_name_itself(own: Path) -> None:
    (own / "odd.yaml").write_text("recipe: other\n")
    assert "the name of a recipe is its file name" in refused("recipe=odd")


def test_a_typing_error_in_any_key_is_refused() -> None:
    """Every leaf key of the schema, with two letters swapped or one added, is refused and the key is offered."""
    leaves = [name for name in dotted_keys(Config) if not dataclasses.is_dataclass(_default(name))]
    told = {line.strip().partition(": ")[0]: line for line in refused(*(f"{name}x=1" for name in leaves)).splitlines()}
    for name in leaves:
        assert "there is no such key" in told[f"{name}x"]
        assert "Did you mean" in told[f"{name}x"]


def _default(dotted: str) -> Any:
    value: Any = Config()
    for part in dotted.split("."):
        value = getattr(value, part)
    return value


def test_a_recipe_builds_on_a_list(own: Path) -> None:
    (own / "child.yaml").write_text("# a child\ndefaults: defects\n")
    with pytest.raises(ConfigError, match=r"child\.yaml: defaults: got 'defects', expected a list of recipes"):
        compose(["recipe=child"])


def test_the_run_folder_depends_on_what_the_artefacts_depend_on() -> None:
    folder = run_folder(compose(["recipe=defects"]))
    assert folder.parent == Path("runs")
    assert folder.name.startswith("defects-")
    assert run_folder(compose(["recipe=defects", "stages=[report]", "report.pictures=none"])) == folder
    assert run_folder(compose(["recipe=defects", "seed=1"])) != folder
    assert run_folder(compose(["recipe=defects", "run.dir=here"])) == Path("here")


def test_the_resolved_config_survives_yaml(tmp_path: Path) -> None:
    config = compose(["recipe=defects", "task.labels=['yes','no','01','1e3']", "task.synonyms={}"])
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(config))
    assert from_yaml(file) == config


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not a run: it has no config.yaml"):
        from_yaml(tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text("trian: {}\n")
    with pytest.raises(ConfigError, match="does not fit this version"):
        from_yaml(tmp_path / "config.yaml")


label = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    lambda t: t.strip() != ""
)


@settings(max_examples=50)
@given(st.lists(label, unique_by=lambda t: t.strip().casefold()), st.floats(0.01, 0.4), st.integers(0, 2**31))
def test_any_config_survives_yaml(labels: list[str], share: float, seed: int) -> None:
    config = Config(
        seed=seed,
        data=DataConfig(split=SplitConfig(test=share), options={"relabel": dict.fromkeys(labels, "x")}),
        task=TaskConfig(labels=tuple(labels)),
        train=TrainConfig(validate=3),
    )
    assert problems(config) == []
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(to_yaml(config), encoding="utf-8")
        assert from_yaml(file) == config


@pytest.mark.parametrize("other", ["stages=[prepare,train]", "data.folds=3", "data.split.column=split"])
def test_no_test_examples_where_none_are_asked(other: str) -> None:
    assert compose(["recipe=defects", "data.split.test=0", other]).data.split.test == 0


def test_a_home_folder_is_meant_where_it_is_written() -> None:
    home = Path("~").expanduser()
    assert run_folder(compose(["recipe=defects", "run.dir='~/one'"])) == home / "one"
    assert run_folder(compose(["recipe=defects", "run.root='~/all'"])).parent == home / "all"


def test_a_label_may_be_among_its_own_synonyms() -> None:
    assert compose(["task.labels=[good,bad]", "task.synonyms={good:[Good,fine]}"]).task.labels == ("good", "bad")
