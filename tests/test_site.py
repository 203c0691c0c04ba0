"""A recipe permits itself nothing; the command line and the site file may."""

import subprocess
import sys

import pytest

from finetune import site
from finetune.config import compose
from finetune.errors import ConfigError

HOSTILE = [
    ("network: allow", "network"),
    ("run: {dir: /tmp/elsewhere}", "run.dir"),
    ("run: {file_mode: '0666'}", "run.file_mode"),
    ("baseline: {policy: mine.yaml}", "baseline.policy"),
    ("baseline: {base_url: 'https://example.org/v1'}", "baseline.base_url"),
    ("baseline: {api_key_env: HOME}", "baseline.api_key_env"),
    ("launch: {options: {partition: gpu}}", "launch.options.partition"),
    ("tracking: {kind: wandb}", "tracking.kind"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FINETUNE_RECIPES", str(tmp_path))
    monkeypatch.delenv(site.VARIABLE, raising=False)
    return tmp_path


@pytest.mark.parametrize(("line", "key"), HOSTILE)
def test_a_recipe_may_not_permit_itself(folder, line, key):
    (folder / "evil.yaml").write_text(f"defaults: [defects]\n{line}\n")
    with pytest.raises(ConfigError, match=f"{key}: the recipe evil sets it to .* may not"):
        compose.compose(["recipe=evil"])


def test_nor_through_a_recipe_that_it_builds_on(folder):
    (folder / "below.yaml").write_text("network: allow\n")
    (folder / "evil.yaml").write_text("defaults: [defects, below]\n")
    with pytest.raises(ConfigError, match="network: the recipe evil"):
        compose.compose(["recipe=evil"])


def test_nor_through_the_package_of_another(folder):
    (folder / "below.yaml").write_text("policy: mine.yaml\n")
    (folder / "evil.yaml").write_text("defaults: [defects, below@baseline]\n")
    with pytest.raises(ConfigError, match=r"baseline\.policy: the recipe evil"):
        compose.compose(["recipe=evil"])


def test_the_command_line_may(folder):
    assert compose.compose(["recipe=defects", "network=allow"]).network == "allow"
    assert compose.compose(["recipe=defects", "tracking=tensorboard"]).tracking.kind == "tensorboard"


def test_the_site_file_may_and_the_command_line_wins(folder, monkeypatch):
    file = folder / "site.txt"
    file.write_text("values: {run.root: /srv/runs, tracking.kind: tensorboard}\n")
    monkeypatch.setenv(site.VARIABLE, str(file))
    made = compose.compose(["recipe=defects"])
    assert (made.run.root, made.tracking.kind) == ("/srv/runs", "tensorboard")
    assert compose.compose(["recipe=defects", "run.root=here"]).run.root == "here"


@pytest.mark.parametrize("text", ["[]", "other: 1", "values: {seed: 3}", "plugins: adapter.x"])
def test_a_site_file_of_another_shape_is_refused(folder, monkeypatch, text):
    file = folder / "site.txt"
    file.write_text(text if text != "[]" else "- 1")
    monkeypatch.setenv(site.VARIABLE, str(file))
    with pytest.raises(ConfigError, match="site"):
        site.load()


def test_a_line_break_in_a_path_never_reaches_a_script():
    with pytest.raises(ConfigError, match=r"run\.dir: got .* no control characters"):
        compose.compose(["recipe=defects", 'run.dir="r\n#SBATCH --wrap=id"'])


def test_a_module_in_the_working_folder_is_not_run(tmp_path):
    (tmp_path / "yaml.py").write_text("open('ran', 'w')\n")
    command = [sys.executable, "-m", "finetune", "show", "recipes"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()
