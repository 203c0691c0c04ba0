import pytest
from baseline import server, small_run


@pytest.fixture
def provider():
    with server.serving() as provider:
        yield provider


@pytest.fixture(scope="session")
def _small(tmp_path_factory):
    return small_run.build(tmp_path_factory.mktemp("small") / "run")


@pytest.fixture
def run(_small, tmp_path, monkeypatch):
    import shutil

    from finetune.rundir import RunDir

    monkeypatch.setenv("RIVAL_API_KEY", small_run.KEY)
    shutil.copytree(_small.root, tmp_path / "run")
    return RunDir(tmp_path / "run")
