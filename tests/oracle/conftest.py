"""Both ways to compute a run's figures again: the shipped code, as `verify` does, and this second code."""

import pytest

import oracle
from finetune.pipeline import recompute


@pytest.fixture(params=["shipped", "second"])
def check(request):
    return {"shipped": recompute.check, "second": oracle.check}[request.param]
