"""What is installed, and that it runs away from the checkout."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from setuptools import find_packages

import finetune

ROOT = Path(finetune.__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
IMPORTED_AS = {"PIL": "pillow", "huggingface_hub": "huggingface-hub", "hydra": "hydra-core", "yaml": "pyyaml"}
OPTIONAL = {"bitsandbytes", "deepspeed", "wandb", "nibabel", "openpyxl", "pydicom"}
OPTIONAL |= {"any_llm", "genai_prices", "google", "httpx", "openai", "rouge_score"}
ONLY_FOR_OTHERS = {"accelerate"}
"""Needed by transformers' Trainer, which imports it by itself."""


def packages() -> set[str]:
    found = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "finetune").rglob("__init__.py")}
    return found | {"data_adapters", "finetune.conf", "finetune.launch", "finetune.recipes"}


def test_every_package_is_declared():
    beside = ("finetune.conf", "finetune.launch", "finetune.recipes")
    found = find_packages(str(ROOT), include=["finetune", "finetune.*", "data_adapters"])
    assert {*found, *beside} == packages()


def test_imports_are_declared_dependencies_and_dependencies_are_imported():
    sources = [p for folder in ("finetune", "data_adapters") for p in (ROOT / folder).rglob("*.py")]
    used = set()
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                used |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                used.add(node.module.split(".")[0])
    third_party = {IMPORTED_AS.get(n, n) for n in used - sys.stdlib_module_names - {"finetune", "data_adapters"}}
    declared = {re.split(r"[<>=]", line)[0] for line in PROJECT["project"]["dependencies"]}
    assert third_party - OPTIONAL - declared == set(), "imported but not declared"
    assert declared - third_party - ONLY_FOR_OTHERS == set(), "declared but not imported"


def test_versions_agree():
    assert PROJECT["project"]["version"] == finetune.__version__


def call(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    # setuptools writes build/ into the tree that it builds: a copy keeps the checkout clean, and knows no stale files.
    source = out / "source"
    tracked = [
        "pyproject.toml",
        "setup.py",
        "README.md",
        "LICENSE",
        "finetune",
        "data_adapters",
        "conf",
        "launch",
        "recipes",
    ]
    source.mkdir()
    for name in tracked:
        call("cp", "-r", ROOT / name, source / name, cwd=out)
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.mark.package
def test_the_wheel_holds_what_a_run_needs_and_nothing_at_the_top(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0] for n in names if ".dist-info/" not in n} == {"finetune", "data_adapters"}
    data = (".yaml", ".md", ".jinja", ".json")
    beside = [p for f in ("conf", "launch", "recipes") for p in (ROOT / f).rglob("*.*") if p.suffix in data]
    inside = [p for p in (ROOT / "finetune").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    wanted = {f"finetune/{p.relative_to(ROOT).as_posix()}" for p in beside}
    wanted |= {p.relative_to(ROOT).as_posix() for p in inside}
    assert {"finetune/embedded/tiny/model.safetensors", "finetune/report/template.html", "finetune/py.typed"} <= wanted
    assert wanted - set(names) == set()
    assert [n for n in names if "/tests/" in n or n.endswith((".pyc", ".pt"))] == []
    assert wheel.name.startswith("onsite_vlm-")


@pytest.mark.package
@pytest.mark.timeout(600)
def test_the_wheel_runs_from_another_folder(wheel, tmp_path):
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site]
    call(*install, wheel, cwd=elsewhere)
    python = [sys.executable, "-m", "finetune"]
    where = call(sys.executable, "-c", "import finetune; print(finetune.__file__)", cwd=elsewhere, PYTHONPATH=str(site))
    assert Path(where.strip()).is_relative_to(site)
    assert "defects" in call(*python, "show", "recipes", cwd=elsewhere, PYTHONPATH=str(site))
    call(
        *python,
        "recipe=defects",
        "data.limit=60",
        "train.epochs=1",
        "evaluate.models=[majority,tuned]",
        "run.dir=r",
        cwd=elsewhere,
        PYTHONPATH=str(site),
    )
    assert json.loads((elsewhere / "r/run.json").read_text(encoding="utf-8"))["status"] == "done"
    assert (elsewhere / "r/report/report.html").stat().st_size > 10_000
