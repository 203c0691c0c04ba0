"""What every test gets: no network, no look at real images unless they are there, no library that calls home."""

import os
import shutil
import tempfile
from pathlib import Path

import guard
import pytest
from hypothesis import settings

from finetune.models import cpu

# Read by the libraries at import, so before any of them: what `network=none` sets for a run (finetune/egress.py).
os.environ.update(
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    DO_NOT_TRACK="1",
    USE_HUB_KERNELS="NO",
    TOKENIZERS_PARALLELISM="false",
)

# Suites run side by side: threads that wait busily for one another would stop them all.
cpu.share()

# What may be computed again is kept here and not in the home of whoever runs the tests.
os.environ.setdefault("FINETUNE_CACHE", tempfile.mkdtemp(prefix="finetune-cache-"))

# A loaded machine is slow at times, which is no failure.
settings.register_profile("finetune", deadline=None)
settings.load_profile("finetune")

SHARED_DATA = Path(os.environ.get("FINETUNE_SHARED_DATA", "../shared/data"))


def pytest_collection_modifyitems(config, items):
    """Deselects, visibly in the closing line, tests of images that are not here; a skip would look like a test.

    Nothing else is deselected: without Chromium the tests of the report fail.
    """
    dropped = [item for item in items if item.get_closest_marker("shared_data")]
    if dropped and not SHARED_DATA.is_dir():
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images, from FINETUNE_SHARED_DATA; only for tests marked `shared_data`."""
    return SHARED_DATA.resolve()


@pytest.fixture(autouse=True)
def no_egress():
    """Fails the test that opened a connection off this machine, even where a library swallowed the refusal."""
    guard.ATTEMPTS.clear()
    yield
    assert guard.ATTEMPTS == [], f"connections off this machine: {guard.ATTEMPTS}"


@pytest.fixture(scope="session")
def _built(tmp_path_factory) -> Path:
    import built_run

    return built_run.build(tmp_path_factory.mktemp("built"))


@pytest.fixture
def built(_built, tmp_path) -> Path:
    """A run directory with data and a random adapter, beside its images and base: a copy for this test."""
    shutil.copytree(_built.parent, tmp_path / "site")
    run = tmp_path / "site" / _built.name
    config = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(config.replace(str(_built.parent), str(run.parent)), encoding="utf-8")
    return run
