"""The command line: `python -m finetune recipe=NAME [KEY=VALUE]...` and the verbs."""

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # `python -m` puts the working folder first: a yaml.py that lies there would be run. Children inherit the variable.
    os.environ["PYTHONSAFEPATH"] = "1"
    os.execve(sys.executable, [sys.executable, "-P", *sys.orig_argv[1:]], dict(os.environ))

import atexit
import dataclasses
import gc
import importlib
import logging
import textwrap
from typing import Any, get_type_hints

from finetune import cpu, egress
from finetune.config import Config
from finetune.errors import InterruptedRun, UserError

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


def main(arguments: list[str]) -> int:
    """Runs one command and returns its exit code; a user's error is printed as one paragraph."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns that no native code was fetched: our choice
    logging.getLogger("DeepSpeed").addFilter(_is_error)  # its notes would stand among results, on standard output
    try:
        return _dispatch(arguments)
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


def _dispatch(arguments: list[str]) -> int:
    asks_help = bool({"--help", "-h"} & set(arguments))
    if not arguments:
        print(_intro())
    elif arguments[0] in VERBS:
        _verb(arguments[0], arguments[1:], asks_help)
    elif asks_help:
        print(_help())
    elif arguments[0] in ("-m", "--multirun"):
        from finetune import sweep

        return sweep.run(arguments[1:])
    else:
        _run(arguments)
    return 0


def _verb(verb: str, rest: list[str], asks_help: bool) -> None:
    if asks_help and verb != "predict":  # which has more to say itself
        print(f"python -m finetune {VERBS[verb]}")
        return
    if verb == "record":
        from finetune.verbs import record

        _enter(*record.way_out(rest))
    elif verb == "curve":
        _enter(*_way_out(rest))
    elif verb != "show":  # which only reads names
        _enter("none")
    importlib.import_module(f"finetune.verbs.{verb}").run(rest)
    egress.raise_if_denied()


def _run(arguments: list[str]) -> None:
    from finetune import compose, named
    from finetune.errors import ConfigError

    verb = arguments[0]
    if "=" not in verb and not verb.startswith(("+", "~", "-")):
        raise ConfigError(named.unknown("verb", verb, VERBS) + " A run is started with recipe=NAME.")
    config = compose.compose(arguments)
    compose.require_task(config)
    from finetune.baseline import policy

    dry = config.baseline.dry_run and policy.asks(config)
    endpoint = policy.load(config).address if policy.asks(config) and not dry else None
    _enter("none" if dry else config.network, endpoint)
    from finetune import dataset, runner

    dataset.options(config.data)  # what the adapter does not understand is refused before anything is written
    dataset.relabelling(config.data)

    from finetune.launching import supervisor

    supervisor.require_own_start(config)
    print(f"run: {compose.run_folder(config)}", file=sys.stderr)
    if supervisor.takes_over(config, arguments):
        return
    if dry:
        from finetune.baseline import dry_run

        print(dry_run.told(config, arguments))
        return
    if __name__ == "__main__":
        _leave_out(config)
    root = runner.execute(config, arguments)
    if "report" in config.stages:
        print(f"report: {root / 'report' / 'report.html'}")


def _leave_out(config: Config) -> None:
    """Hides packages that this run has no use for: PEFT and accelerate import them wherever they are installed.

    That takes 1.5 s and 50 MiB. `None` in `sys.modules` is Python's own way to say that a module is not there.
    """
    eight_bit = "8bit" in str(config.train.trainer.get("optim", ""))
    wanted = {
        "bitsandbytes": config.method.quantise != "none" or eight_bit,
        "deepspeed": config.hardware.deepspeed is not None,
    }
    sys.modules.update({name: None for name, used in wanted.items() if not used})  # type: ignore[misc]


def _way_out(arguments: list[str]) -> tuple[str, tuple[str, int] | None]:
    """Network and endpoint under which a process that runs these settings may run."""
    from finetune import compose
    from finetune.baseline import policy

    config = compose.compose(arguments)
    return config.network, policy.load(config).address if policy.asks(config) else None


def _enter(network: str, endpoint: tuple[str, int] | None = None) -> None:
    """Seals the process when it is a command of its own; a caller inside another program keeps its environment."""
    if __name__ == "__main__":
        cpu.share()
        egress.seal_process(network)
        # The libraries make a million objects: looking through them took a third of the import, and again at the end.
        gc.set_threshold(100_000, 20, 20)
        atexit.register(gc.freeze)
        if network == "none" or endpoint is not None:
            egress.install_guard(endpoint)


def _intro() -> str:
    from finetune.compose import headline, recipes

    lines = [f"  recipe={name:<14} {headline(file)}" for name, file in recipes().items()]
    return INTRO.format(recipes="\n".join(lines))


def _help() -> str:
    from finetune.compose import groups, headline

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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
