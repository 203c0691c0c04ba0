"""The command line as a process: exit codes, what is printed where, and that torch stays out."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from finetune.cli import show
from finetune.cli.main import main
from finetune.pipeline import runner

HEAVY = "torch,transformers,peft,accelerate,scipy,pandas,datasets"


def command(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "finetune", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], ["recipe=defcts"], ["trian.epochs=1"], ["show", "recipes"], ["task.labels=[true]"], ["shwo"]],
)
def test_help_and_errors_never_import_heavy_libraries(arguments: list[str]) -> None:
    code = (
        f"import sys\nfrom finetune.cli.main import main\nmain({arguments!r})\n"
        f"found = set({HEAVY!r}.split(',')) & set(sys.modules)\nsys.exit(f'imported: {{found}}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_no_arguments_say_what_this_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    text = capsys.readouterr().out
    assert "recipe=defects" in text
    assert text.count("python -m finetune") >= 3


def test_help_lists_every_group_and_key(capsys: pytest.CaptureFixture[str]) -> None:
    from finetune.config.convert import dotted_keys
    from finetune.config.schema import Config

    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    leaves = [name for name in dotted_keys(Config) if not any(k.startswith(f"{name}.") for k in dotted_keys(Config))]
    assert [name for name in leaves if f"\n  {name} " not in text] == []
    assert "exit codes" in text.lower()
    for group in ("model", "method", "hardware", "recipe"):
        assert f"Group {group}=OPTION" in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["recipe=defcts"], 2, "Did you mean 'defects'?"),
        (["verfy", "x"], 2, "unknown verb 'verfy'. Did you mean 'verify'?"),
        (["train.epochs=3"], 2, "no recipe given"),
        (["data.adapter=synthetic"], 2, "it is a recipe that says what is asked about them. Try recipe=defects"),
        (["show", "recipe"], 2, "unknown kind 'recipe'. Did you mean 'recipes'?"),
        (["show"], 2, "There are: adapters, baselines, models, recipes, tasks."),
        (["show", "models", "tny"], 2, "unknown model 'tny'. Did you mean 'tiny'?"),
        (["show", "models", "a", "b"], 2, "takes one NAME, got 2"),
    ],
)
def test_errors_are_one_paragraph_and_an_exit_code(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("error: ")
    assert printed.out == ""


def test_a_mistake_ends_with_exit_code_2_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = command("recipe=defects", "train.epochz=1", "+seed=2", cwd=tmp_path)
    assert done.returncode == 2
    assert "2 mistakes:" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["recipes", "models", "adapters", "tasks"])
def test_show_lists_and_details(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines
    for line in lines:
        name, _, rest = line.partition("  ")
        assert rest.strip()[0] != "[", f"{name} does not say what it is"
        assert main(["show", kind, name.strip()]) == 0
        assert capsys.readouterr().out.startswith(f"{name.strip()}: ")


def test_a_closed_pipe_is_no_error() -> None:
    shell = f"{sys.executable} -m finetune --help | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, env=dict(os.environ), timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("verb", ["show", "verify"])
def test_a_verb_says_what_it_takes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"python -m finetune {verb} ")


@pytest.mark.parametrize("stages", ["[prepare]", "[report]"])
def test_the_report_is_named_where_this_call_made_it(
    stages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report" / "report.html"
    file.parent.mkdir()
    file.write_text("of a former call")
    monkeypatch.setattr(runner, "execute", lambda config, arguments: tmp_path)
    assert main(["recipe=defects", f"stages={stages}"]) == 0
    assert capsys.readouterr().out == (f"report: {file}\n" if stages == "[report]" else "")


def test_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(arguments: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(show, "run", stop)
    assert main(["show", "recipes"]) == 75
    assert capsys.readouterr().err == "error: stopped by Ctrl-C.\n"


def test_a_misspelt_option_of_the_adapter_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data.path=x", "data.options.frmae=1"]) == 2
    assert "Did you mean data.options.frame?" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_deepspeed_writes_no_notes_among_results(capsys):
    """Its logger prints on standard output, whatever level it is set to before it is imported."""
    logger = logging.getLogger("DeepSpeed")
    printing = logging.StreamHandler(sys.stdout)
    logger.addHandler(printing)
    try:
        assert main(["show", "tasks"]) == 0
        capsys.readouterr()
        logger.warning("a note")
        logger.error("a fault")
    finally:
        logger.removeHandler(printing)
    assert capsys.readouterr().out == "a fault\n"
