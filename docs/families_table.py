"""`python docs/families_table.py docs/families.md`: writes the tables of that page anew from families and models."""

import re
import sys
from pathlib import Path

from finetune import plugins
from finetune.config.compose import groups, headline
from finetune.families import _base as families
from finetune.families._base import CLAUSES, Family
from finetune.models.weight_files import EMBEDDED

BEGIN, END = "<!-- generated: python docs/families_table.py docs/families.md -->", "<!-- end -->"

NF4_BYTES = 0.6
"""Bytes a weight: 0.5 and the scales in the language model; the parts that stay in bf16 add a little."""


def page() -> str:
    """The generated part: families, what they cannot, models."""
    return "\n\n".join([_families(), _gaps(), _models()])


def _families() -> str:
    rows = ["| family | what it is | contract | features kept | boxes | needs |", "|---|---|---|---|---|---|"]
    for name in plugins.names("family"):
        family = families.load(name)
        needs = ", ".join(distribution for _, distribution in family.packages) or "nothing more"
        passed = len(CLAUSES) - len(family.gaps)
        kept = "DeepStack levels too" if family.deepstack else "yes" if family.features else "no"
        cells = [f"`{name}`", _about(name), f"{passed} of {len(CLAUSES)}", kept, family.boxes or "ours", needs]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _about(name: str) -> str:
    told = plugins.load("family", name).__doc__ or ""
    return told.split("\n", 1)[0].rstrip(".")


def _gaps() -> str:
    rows = ["| family | clause it does not pass | why |", "|---|---|---|"]
    for name in plugins.names("family"):
        family: Family = families.load(name)
        rows += [f"| `{name}` | {CLAUSES[clause]} | {reason} |" for clause, reason in family.gaps.items()]
    return "\n".join(rows)


def _models() -> str:
    rows = ["| model | what it is | family | weights for LoRA | for QLoRA |", "|---|---|---|---|---|"]
    for name, file in groups()["model"].items():
        told, text = headline(file), file.read_text(encoding="utf-8")
        family = re.search(r"^family: (\w+)$", text, re.MULTILINE)
        billions = re.search(r"([\d.]+) B parameters(?:, of which ([\d.]+) B)?", told)
        sizes = _sizes(float(billions[1]), float(billions[2] or 0)) if billions else ["", ""]
        if family and families.load(family[1]).experts:
            sizes[1] = "as for LoRA: the experts stay in bf16"
        where = "in the package" if f"id: {EMBEDDED}" in text else told.rstrip(".")
        cells = [f"`model={name}`", where, f"`{family[1]}`" if family else "", *sizes]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _sizes(billions: float, kept: float = 0.0) -> list[str]:
    """GiB of the weights in bf16, and with the language model in NF4, where `kept` billions of it stay in bf16."""
    small = (billions - kept) * NF4_BYTES + kept * 2.0
    return [f"{size * 1e9 / 2**30:.1f} GiB" for size in (billions * 2.0, small)]


def write(file: Path) -> None:
    """Replaces what stands between the marks.

    Raises:
        ValueError: the page has no marks.
    """
    text = file.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    if not rest or not tail:
        raise ValueError(f"{file} has no {BEGIN} ... {END}")
    file.write_text(f"{head}{BEGIN}\n\n{page()}\n\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
