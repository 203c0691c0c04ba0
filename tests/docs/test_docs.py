"""The documentation is a test: its commands compose, its lists are complete, its links lead somewhere."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

import finetune
from finetune import plugins
from finetune.cli import main as cli
from finetune.config import compose
from finetune.config.checks_evaluation import NEEDS
from finetune.data import source

ROOT = Path(finetune.__file__).resolve().parents[1]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "recipes/*.md", "finetune/**/*.md", "launch/**/*.md")
    for page in ROOT.glob(pattern)
)
PROSE = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
FENCE = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"python3? -m finetune(?![\w.])([^\n]*)")


def commands(text: str) -> list[str]:
    """Arguments of every `python -m finetune` in the fenced blocks of a page, and in its `inline code`."""
    code = [block.replace("\\\n", " ") for block in FENCE.findall(text)]
    code += re.findall(r"`([^`\n]*)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [found for block in code for found in COMMAND.findall(block)]


def words(arguments: str) -> list[str]:
    """Splits as a shell would, up to a comment, a pipe, a redirection or the next command."""
    lexer = shlex.shlex(arguments, posix=True, punctuation_chars="|&;>")
    lexer.whitespace_split = True
    found = []
    for word in lexer:
        if set(word) <= set("|&;>"):
            break
        found.append(word)
    return found


DOCUMENTED = sorted(
    {(page.relative_to(ROOT).as_posix(), c) for page in PAGES for c in commands(page.read_text("utf-8"))}
)


@pytest.mark.parametrize(("page", "arguments"), DOCUMENTED)
def test_documented_command_composes(page, arguments):
    given = words(arguments)
    if not given or "--help" in given:
        return
    if given[0] in cli.VERBS:
        usage = cli.VERBS[given[0]]
        assert {word for word in given if word.startswith("--")} <= set(re.findall(r"--\w+", usage)), page
        return
    if given[0] == "-m":
        assert all(compose.compose(one).recipe for one in compose.combinations(given[1:])), page
        return
    config = compose.compose(given)
    assert config.recipe or config.data.path, page
    source.options(config.data)


def test_the_readme_has_commands_of_every_kind():
    found = [words(c) for page, c in DOCUMENTED if page == "README.md"]
    assert [] in found
    assert any(given and given[0].startswith("recipe=") for given in found)
    assert {given[0] for given in found if given and given[0] in cli.VERBS} == set(cli.VERBS)


def test_commands_are_read_as_a_shell_reads_them():
    text = "`python -m finetune show x`\n```sh\npython3 -m finetune recipe=a \\\n  'k=[b, c]' | tee log # why\n```\n"
    assert [words(c) for c in commands(text)] == [["recipe=a", "k=[b, c]"], ["show", "x"]]
    assert commands("```sh\npython -m finetune.embedded.pretrain --resume\n```\n") == []


@pytest.mark.parametrize("recipe", sorted(compose.recipes()))
def test_recipe_composes_and_is_described(recipe):
    assert compose.compose([f"recipe={recipe}"]).recipe == recipe
    assert compose.headline(compose.recipes()[recipe]), "the first line of a recipe is a comment that says what it is"
    page = (ROOT / "recipes" / f"{recipe}.md").read_text(encoding="utf-8")
    assert {"data", "metric", "limits"} <= {word.lower() for word in re.findall(r"\w+", page)}


@pytest.mark.parametrize(
    ("group", "option"),
    [(g, o) for g, options in compose.groups().items() for o in options if g not in ("recipe", "model")],
)
def test_every_option_of_every_group_composes(group, option):
    given = {"path": "packs/gpt", "model": "openai/gpt-4o", "base_url": "http://localhost:8000/v1"}
    needed = [f"baseline.{key}={given[key]}" for key in NEEDS[option]] if group == "baseline" else []
    needed += ["launch=torchrun"] if option.startswith("zero") else []
    assert compose.compose(["recipe=defects", f"{group}={option}", *needed]).recipe == "defects"


@pytest.mark.parametrize("seam", ["adapter", "family", "task"])
def test_every_name_is_in_the_docs(seam):
    assert [name for name in plugins.names(seam) if f"`{name}`" not in PROSE] == []


def test_every_recipe_is_in_the_readme_and_every_model_in_its_page():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in compose.recipes() if f"`{name}`" not in readme] == []
    listed = readme + (ROOT / "docs/families.md").read_text(encoding="utf-8")
    assert [name for name in compose.groups()["model"] if f"`model={name}`" not in listed] == []


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tables = "\n".join(row for row in (ROOT / "docs/design.md").read_text("utf-8").splitlines() if row.startswith("|"))
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {re.split(r"[<>=\[;]", line)[0].strip() for line in wanted} - {project["name"]}
    assert sorted(n for n in names if not n.startswith("types-") and n not in tables) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [t for t in links if not t.startswith(("http://", "https://")) and not (page.parent / t).exists()] == []
