"""The command line: `python -m finetune recipe=NAME [KEY=VALUE]...` and the verbs."""

import dataclasses
import importlib
import logging
import os
import sys
import textwrap
from typing import Any, get_type_hints

from finetune import egress
from finetune.config.schema import Config
from finetune.errors import InterruptedRun, UserError
from finetune.models import cpu

VERBS = {
    "show": "show recipes|models|adapters|tasks|baselines [NAME]: what there is, one line each; NAME in detail",
    "check": "check recipe=NAME [KEY=VALUE]...: the whole preflight with pictures, nothing trained",
    "plan": "plan RUN|recipe=NAME|n=N [disagreement=0.1] [margin=0.03] [groups_of=1] [icc=0.1] [power=0.8]: "
    "what a test set can show, before anything is spent",
    "predict": "predict RUN --images PATH [--question TEXT] [KEY=VALUE]...: the tuned model on new images",
    "record": "record recipe=... baseline=... [--shareable]: asks the baseline once and writes a recorded pack",
    "curve": "curve recipe=NAME [KEY=VALUE]...: would more photographs help? The metric at growing shares",
    "verify": "verify RUN: checks every hash and the audit chain of a run, and recomputes every number",
    "gate": "gate OLD NEW [metric=accuracy] [positive=LABEL] [margin=0] [junit=junit.xml]: exit 4 where NEW is worse",
    "compare": "compare A.jsonl B.jsonl... [metric=accuracy] [positive=LABEL] [margin=0.03] | compare RUN...",
    "runs": "runs [run.root=FOLDER]: the runs there are, with their verdicts, newest first",
}

INTRO = """\
finetune adapts an open vision-language model to your own images and measures what that bought.
Nothing leaves this machine.

Recipes:
{recipes}

Copy one:
  python -m finetune recipe=defects
  python -m finetune recipe=solar_cells data.path=FOLDER data.folds=5
  python -m finetune show recipes

python -m finetune --help lists every group and key."""


def program() -> None:
    """The console script `finetune`: the same as `python -m finetune`."""
    sys.exit(main(sys.argv[1:], own_process=True))


def main(arguments: list[str], *, own_process: bool = False) -> int:
    """Runs one command and returns its exit code; a user's error is printed as one paragraph.

    Args:
        arguments: the words behind the program's name.
        own_process: whether this process was started for this command alone. Then it is sealed against the network; a
            caller inside another program keeps its environment.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns that no native code was fetched: our choice
    logging.getLogger("DeepSpeed").addFilter(_is_error)  # its notes would stand among results, on standard output
    try:
        return _dispatch(arguments, own_process)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: stopped by Ctrl-C.", file=sys.stderr)
        return InterruptedRun.exit_code
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _dispatch(arguments: list[str], own_process: bool) -> int:
    asks_help = bool({"--help", "-h"} & set(arguments))
    if not arguments:
        print(_intro())
    elif arguments[0] in VERBS:
        _verb(arguments[0], arguments[1:], asks_help, own_process)
    elif asks_help:
        print(_help())
    elif arguments[0] in ("-m", "--multirun"):
        from finetune.cli import sweep

        return sweep.run(arguments[1:])
    else:
        _run(arguments, own_process)
    return 0


def _verb(verb: str, rest: list[str], asks_help: bool, own_process: bool) -> None:
    if asks_help and verb != "predict":  # which has more to say itself
        print(f"python -m finetune {VERBS[verb]}")
        return
    if verb == "record":
        from finetune.cli import record

        _enter(own_process, *record.way_out(rest))
    elif verb == "curve":
        _enter(own_process, *_way_out(rest))
    elif verb != "show":  # which only reads names
        _enter(own_process, "none")
    importlib.import_module(f"finetune.cli.{verb}").run(rest)
    egress.raise_if_denied()


def _run(arguments: list[str], own_process: bool) -> None:
    from finetune import plugins
    from finetune.config import compose
    from finetune.errors import ConfigError

    verb = arguments[0]
    if "=" not in verb and not verb.startswith(("+", "~", "-")):
        raise ConfigError(plugins.unknown("verb", verb, VERBS) + " A run is started with recipe=NAME.")
    config = compose.compose(arguments)
    compose.require_task(config)
    from finetune.baseline import policy

    dry = config.baseline.dry_run and policy.asks(config)
    endpoint = policy.load(config).address if policy.asks(config) and not dry else None
    _enter(own_process, "none" if dry else config.network, endpoint)
    from finetune.data import source
    from finetune.pipeline import runner

    source.options(config.data)  # what the adapter does not understand is refused before anything is written
    source.relabelling(config.data)

    from finetune.training import launcher

    launcher.require_own_start(config)
    print(f"run: {compose.run_folder(config)}", file=sys.stderr)
    if launcher.takes_over(config, arguments):
        return
    if dry:
        from finetune.cli import dry_run

        print(dry_run.told(config, arguments))
        return
    root = runner.execute(config, arguments)
    if "report" in config.stages:
        print(f"report: {root / 'report' / 'report.html'}")


def _way_out(arguments: list[str]) -> tuple[str, tuple[str, int] | None]:
    """Network and endpoint under which a process that runs these settings may run."""
    from finetune.baseline import policy
    from finetune.config import compose

    config = compose.compose(arguments)
    return config.network, policy.load(config).address if policy.asks(config) else None


def _enter(own_process: bool, network: str, endpoint: tuple[str, int] | None = None) -> None:
    """Seals the process when it is a command of its own."""
    if own_process:
        cpu.share()
        egress.seal_process(network)
        if network == "none" or endpoint is not None:
            egress.install_guard(endpoint)


def _intro() -> str:
    from finetune.config.compose import headline, recipes

    lines = [f"  recipe={name:<14} {headline(file)}" for name, file in recipes().items()]
    return INTRO.format(recipes="\n".join(lines))


def _help() -> str:
    from finetune.config.compose import groups, headline

    blocks = [_intro(), "\nVerbs:"]
    blocks += [f"  python -m finetune {line}" for line in VERBS.values()]
    blocks += ["\nA sweep: python -m finetune -m recipe=NAME KEY=A,B ...: one run for each combination, and a table"]
    for group, options in groups().items():
        blocks.append(f"\nGroup {group}=OPTION")
        blocks += [f"  {name:<16} {headline(file)}" for name, file in options.items()]
    blocks += ["\nKeys: KEY=VALUE (default)", *_key_lines(Config, "")]
    blocks += [
        "\nProgress goes to standard error, results to standard output. Exit codes: 0 done, 2 config, 3 data,",
        "4 gate failed, 5 integrity, 6 egress refused, 7 resources, 75 interrupted (the same command continues).",
    ]
    return "\n".join(blocks)


def _key_lines(cls: Any, where: str) -> list[str]:
    hints, lines = get_type_hints(cls), []
    for entry in dataclasses.fields(cls):
        name = f"{where}{entry.name}"
        if dataclasses.is_dataclass(hints[entry.name]):
            lines += _key_lines(hints[entry.name], f"{name}.")
            continue
        text = f"{entry.metadata['help']} ({_default(entry)})"
        lines += textwrap.wrap(text, 118, initial_indent=f"  {name:<34} ", subsequent_indent=" " * 37)
    return lines


def _default(entry: "dataclasses.Field[Any]") -> str:
    value = entry.default if entry.default is not dataclasses.MISSING else {}
    if isinstance(value, tuple):
        return f"[{','.join(map(str, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value) or "''"
