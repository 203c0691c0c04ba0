"""`baseline.dry_run=true`: what would leave, how many bytes, at what price. Nothing is asked and no socket opened."""

import dataclasses
import json
from collections.abc import Sequence

from finetune.baseline import images_sent, live, prices
from finetune.baseline.prompts import Request, Setup
from finetune.config.schema import Config
from finetune.data import example_files, source
from finetune.pipeline import runner
from finetune.rundir import Json, RunDir

CHARACTERS_A_TOKEN = 4
"""Rule of thumb for English text; an estimate is called one."""


def told(config: Config, overrides: Sequence[str]) -> str:
    """Prepares the data, puts every request together, and says what they add up to.

    Raises:
        ConfigError: the baseline cannot be asked like that.
    """
    live.check(config)
    run = RunDir(runner.execute(dataclasses.replace(config, stages=("prepare",)), overrides))
    labels, root = example_files.labels(run), source.image_root(config, run)
    planned = live.plan(config, run, labels)
    parts = run.parts(config.data.folds)
    pairs = [(_longest(planned.setups[part.name]), one) for part in parts for one in planned.tests[part.name]]
    for part in parts:
        setups = planned.setups[part.name]
        if len(setups) > 1:
            pairs += [(setup, example) for setup in setups for example in example_files.read_split(part.split("val"))]
    count, size, text_tokens = 0, 0, 0
    seen: list[int | None] = []
    shown: Request | None = None
    for setup, example in pairs:
        sent = images_sent.of(example, root, config.baseline.max_side)
        asked = live.request(config, labels, None, setup, example, sent, root)
        shown = shown or asked
        count, size = count + 1, size + len(json.dumps(_body(asked)))
        text_tokens += sum(len(turn.text) for turn in asked.turns) // CHARACTERS_A_TOKEN
        seen += [prices.picture_tokens(config.baseline, one.size) for turn in asked.turns for one in turn.pictures]
    lines = [
        f"Nothing was sent. This is what baseline={config.baseline.kind} would send for {config.baseline.model}:",
        f"requests: {count}",
        f"different pictures: {planned.pictures}",
        f"bytes: {size}",
        f"price: {_price(config, count, text_tokens, seen)}",
        f"data set, as a policy file may name it: {' or '.join(live.tags(config, run))}",
        "the first request, its pictures left out:",
        json.dumps(_elided(shown), indent=2, ensure_ascii=False) if shown else "none",
    ]
    return "\n".join(lines)


def _longest(setups: Sequence[Setup]) -> Setup:
    """The way of asking that sends most, since nobody knows yet which will be chosen."""
    return max(setups, key=lambda setup: (len(setup.shots), len(setup.prompt or "")))


def _body(asked: Request) -> Json:
    return {"model": asked.model, "messages": asked.messages(), **asked.options}


def _price(config: Config, count: int, text_tokens: int, picture_tokens: Sequence[int | None]) -> str:
    known = [tokens for tokens in picture_tokens if tokens is not None]
    if len(known) < len(picture_tokens):
        return f"unknown: nobody published how many tokens a picture takes at {prices.provider(config.baseline)!r}"
    read, longest = text_tokens + sum(known), count * config.baseline.max_tokens
    cost = prices.cost(config.baseline, None, read, longest)
    if cost is None:
        return f"unknown: {config.baseline.model} is on no price list known here"
    return f"at most about {cost:.2f} US dollars (an estimate: {read} tokens in, up to {longest} out)"


def _elided(asked: Request) -> Json:
    bare = dataclasses.replace(asked, turns=tuple(dataclasses.replace(turn, pictures=()) for turn in asked.turns))
    body = _body(bare)
    for message, turn in zip(body["messages"], asked.turns, strict=True):
        shown = [
            f"[{one.media_type}, {one.size[0]} x {one.size[1]} px, {len(one.content)} bytes]" for one in turn.pictures
        ]
        message["content"] = [*shown, message["content"]]
    return body
