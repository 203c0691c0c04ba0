"""`python -m finetune check recipe=NAME [KEY=VALUE]...`: the whole preflight, with pictures, and nothing trained.

Everything that would end a run is told at once, with the exit code that the run would have; `check/check.html` in the
folder of the run shows the data. Standard output has the findings, standard error the progress.
"""

import sys
from collections.abc import Sequence

from finetune.config import compose
from finetune.data import source
from finetune.errors import ConfigError, UserError
from finetune.preflight import data_check, page
from finetune.preflight.problems import Problems
from finetune.rundir import RunDir


def run(arguments: Sequence[str]) -> None:
    """Checks, writes the page and prints the findings.

    Raises:
        UserError: what a run would end with.
    """
    config = compose.compose(list(arguments))
    compose.require_task(config)
    source.options(config.data)
    source.relabelling(config.data)
    if config.baseline.dry_run:
        raise ConfigError("baseline.dry_run: a check asks nobody; say it to the run itself")
    folder = RunDir(compose.run_folder(config) / "check", int(config.run.file_mode, 8))
    problems = Problems()
    with folder.lock():
        found = data_check.read(config, folder, problems)
        measured = fitted = None
        if found is not None:
            measured = data_check.measure(found)
            print("loading the model", file=sys.stderr)
            from finetune.preflight import memory_check  # torch, which takes seconds, is needed from here on

            try:
                fitted = memory_check.fit(config, found, measured, problems)
            except UserError as error:
                problems.errors.append(error)
        written = page.write(config, folder, page.Checked(found, measured, fitted, problems))
    print("\n".join(page.lines(page.Checked(found, measured, fitted, problems))))
    print(f"check: {written}", file=sys.stderr)
    problems.raise_first()
