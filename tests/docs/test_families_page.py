"""docs/families.md and conf/model: written from the families, complete, and with nothing made up."""

import dataclasses
import re
import sys
from pathlib import Path

import pytest
import yaml

import finetune
from finetune import plugins
from finetune.config import compose
from finetune.config.schema import ModelConfig
from finetune.families import _base as families

ROOT = Path(finetune.__file__).resolve().parents[1]
sys.path.append(str(ROOT / "docs"))

import families_table as page  # noqa: E402

MODELS = compose.groups()["model"]


def test_the_page_is_what_the_command_writes(tmp_path):
    written = ROOT / "docs" / "families.md"
    copy = tmp_path / "families.md"
    copy.write_text(written.read_text(encoding="utf-8"), encoding="utf-8")
    page.write(copy)
    assert copy.read_text(encoding="utf-8") == written.read_text(encoding="utf-8"), page.BEGIN


def test_a_page_without_marks_is_not_touched(tmp_path):
    copy = tmp_path / "other.md"
    copy.write_text("# Other\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"other.md has no <!-- generated"):
        page.write(copy)
    assert copy.read_text(encoding="utf-8") == "# Other\n"


def test_sizes_by_hand():
    # 7 billion weights of 2 bytes are 14e9 bytes, of 0.6 bytes 4.2e9; a GiB is 1073741824
    assert page._sizes(7.0) == ["13.0 GiB", "3.9 GiB"]
    # 2.8 of 5.1 billion kept: 5.6e9 bytes and 2.3 x 0.6 = 1.38e9 are 6.98e9
    assert page._sizes(5.1, 2.8) == ["9.5 GiB", "6.5 GiB"]
    assert "| `gemma4` | 9.5 GiB | 6.5 GiB |" in page.page()


def test_gaps_are_told_with_their_reason():
    told = page.page()
    for name in plugins.names("family"):
        for clause, reason in families.load(name).gaps.items():
            assert f"| `{name}` | {families.CLAUSES[clause]} | {reason} |" in told


def test_experts_are_not_said_to_shrink():
    row = next(line for line in page.page().splitlines() if line.startswith("| `model=llama4_scout`"))
    assert "as for LoRA" in row


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_is_a_family_an_id_and_a_licence(name):
    text = MODELS[name].read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    (train,) = values.pop("defaults")[0].values()
    assert train in compose.groups()["train"]
    assert set(values) <= {entry.name for entry in dataclasses.fields(ModelConfig)}
    assert values["family"] in plugins.names("family")
    assert name == "tiny" or re.fullmatch(r"[\w-]+/[\w.-]+", values["id"])
    assert values.get("revision") in (None, "refs/pr/70")  # a commit that nobody has looked at would be an invention
    assert name == "tiny" or "parameters" in text.split("\n", 1)[0] or "model card" in text.split("\n", 1)[0]


def test_every_family_has_a_model():
    served = {yaml.safe_load(file.read_text(encoding="utf-8"))["family"] for file in MODELS.values()}
    assert sorted(served) == plugins.names("family")
