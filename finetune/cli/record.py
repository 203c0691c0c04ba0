"""`record recipe=NAME baseline=... [--shareable]`: asks the baseline once and writes a recorded pack.

The pack is written to `baseline.path`, or to RUN/packs/NAME. Killed or stopped, the same command asks only what is
missing.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from finetune.baseline import policy
from finetune.config import compose
from finetune.config.schema import Config
from finetune.errors import ConfigError
from finetune.rundir import RunDir, read_json

SHAREABLE = "--shareable"


def way_out(arguments: Sequence[str]) -> tuple[str, tuple[str, int] | None]:
    """Network and endpoint under which this process may run: what the policy file permits, or nothing at all.

    Raises:
        EgressError: the policy does not permit it.
    """
    config = _config(arguments)
    if config.baseline.dry_run:
        return "none", None
    return config.network, policy.load(config).address


def run(arguments: list[str]) -> None:
    """Prepares the data, asks every test example that is not answered yet, and writes the pack.

    Raises:
        ConfigError: the baseline cannot be asked, or the key of a shareable pack is missing.
        EgressError: the policy does not permit it, or its budget is spent.
    """
    config, overrides = _config(arguments), _overrides(arguments)
    from finetune.baseline import images_sent, live, pack
    from finetune.cli import dry_run
    from finetune.data import example_files, source
    from finetune.pipeline import runner

    source.options(config.data)
    if config.baseline.dry_run:
        print(dry_run.told(config, overrides))
        return
    policy.load(config)
    live.check(config)
    key = pack.site_key() if SHAREABLE in arguments else None
    run_dir = RunDir(
        runner.execute(dataclasses.replace(config, stages=("prepare",)), overrides), int(config.run.file_mode, 8)
    )
    with run_dir.lock():
        labels, root = example_files.labels(run_dir), source.image_root(config, run_dir)
        tests = [
            row for part in run_dir.parts(config.data.folds) for row in example_files.read_split(part.split("test"))
        ]
        rows = list(live.answers(config, run_dir, tests, root, labels))
        side, told = config.baseline.max_side, tests if key is not None else []
        sent = [[one.sha256 for one in images_sent.of(test, root, side).pictures] for test in told]
        about = read_json(run_dir.eval / f"{config.baseline.name}.baseline.json")
        place = Path(config.baseline.path).expanduser() if config.baseline.path else _default(run_dir, config)
        print(pack.write(place, about, rows, sent, key))


def _default(run: RunDir, config: Config) -> Path:
    return run.root / "packs" / config.baseline.name


def _overrides(arguments: Sequence[str]) -> list[str]:
    return [argument for argument in arguments if argument != SHAREABLE]


def _config(arguments: Sequence[str]) -> Config:
    config = compose.compose(_overrides(arguments))
    if config.baseline.kind not in policy.LIVE:
        raise ConfigError(f"record asks a model: choose baseline={' or baseline='.join(policy.LIVE)}.")
    if not config.recipe and not config.data.path:
        raise ConfigError("record needs data to ask about: record recipe=NAME or data.path=FOLDER.")
    return config
