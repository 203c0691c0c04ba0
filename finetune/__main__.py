"""The command line: `python -m finetune recipe=NAME [KEY=VALUE]...` and the verbs."""

import dataclasses
import importlib
import os
import sys
import textwrap
from typing import Any, get_type_hints

from finetune import egress
from finetune.config import Config
from finetune.errors import InterruptedRun, UserError

VERBS = {
    "show": "show recipes|models|adapters|tasks [NAME]: what there is, one line each; NAME in detail",
    "predict": "predict RUN --images PATH [--question TEXT]: the tuned model on new images, as JSON lines",
    "verify": "verify RUN: checks every hash and the audit chain of a run",
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


def main(arguments: list[str]) -> int:
    """Runs one command and returns its exit code; a user's error is printed as one paragraph."""
    try:
        _dispatch(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: stopped by Ctrl-C.", file=sys.stderr)
        return InterruptedRun.exit_code
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _dispatch(arguments: list[str]) -> None:
    asks_help = bool({"--help", "-h"} & set(arguments))
    if not arguments:
        print(_intro())
    elif arguments[0] in VERBS:
        _verb(arguments[0], arguments[1:], asks_help)
    elif asks_help:
        print(_help())
    else:
        _run(arguments)


def _verb(verb: str, rest: list[str], asks_help: bool) -> None:
    if asks_help and verb != "predict":  # which has more to say itself
        print(f"python -m finetune {VERBS[verb]}")
        return
    if verb != "show":  # which only reads names
        _enter("none")
    importlib.import_module(f"finetune.{verb}").run(rest)
    egress.raise_if_denied()


def _run(arguments: list[str]) -> None:
    from finetune import compose, named
    from finetune.errors import ConfigError

    verb = arguments[0]
    if "=" not in verb and not verb.startswith(("+", "~", "-")):
        raise ConfigError(named.unknown("verb", verb, VERBS) + " A run is started with recipe=NAME.")
    config = compose.compose(arguments)
    if not config.recipe and not config.data.path:
        raise ConfigError(f"no recipe given. There are: {', '.join(compose.recipes())}. Try recipe=defects.")
    _enter(config.network)
    from finetune import dataset, runner

    dataset.options(config.data)  # what the adapter does not understand is refused before anything is written
    dataset.relabelling(config.data)

    print(f"run: {compose.run_folder(config)}", file=sys.stderr)
    root = runner.execute(config, arguments)
    if "report" in config.stages:
        print(f"report: {root / 'report' / 'report.html'}")


def _enter(network: str) -> None:
    """Seals the process when it is a command of its own; a caller inside another program keeps its environment."""
    if __name__ == "__main__":
        egress.seal_process(network)
        if network == "none":
            egress.install_guard()


def _intro() -> str:
    from finetune.compose import headline, recipes

    lines = [f"  recipe={name:<14} {headline(file)}" for name, file in recipes().items()]
    return INTRO.format(recipes="\n".join(lines))


def _help() -> str:
    from finetune.compose import groups, headline

    blocks = [_intro(), "\nVerbs:"]
    blocks += [f"  python -m finetune {line}" for line in VERBS.values()]
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
