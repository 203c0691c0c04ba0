"""Which families a clause of the contract is asked of: all but those that say why they cannot."""

import pytest

from finetune import plugins
from finetune.families import _base as families

IN_EVERY_RUN = "idefics3"
"""Carries the embedded model and runs in the default suite; the others run with `make families`."""


def of(clause: str) -> pytest.MarkDecorator:
    """Parametrises `name` over the families that have to pass a clause."""
    assert clause in families.CLAUSES
    asked = [name for name in plugins.names("family") if clause not in families.load(name).gaps]
    marked = [name if name == IN_EVERY_RUN else pytest.param(name, marks=pytest.mark.families) for name in asked]
    return pytest.mark.parametrize("name", marked)
