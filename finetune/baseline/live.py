"""Asking a foreign model over a network: permission first, then the choice of prompt on validation, then the test."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from finetune.baseline import images_sent as pictures
from finetune.baseline import outcomes, policy, prices, prompts
from finetune.baseline.client import Asker, Clock
from finetune.baseline.policy import Policy
from finetune.baseline.prompts import Request, Setup
from finetune.config.schema import Config
from finetune.data import example_files
from finetune.errors import ConfigError
from finetune.example import Example, Prediction
from finetune.rundir import Json, Part, RunDir, sha256_file
from finetune.tasks import _forms

REAL_TIME = Clock()

_OURS = ("model", "messages", "stream", "n")
"""What a request says beside its parameters."""


def identity(config: Config, run: RunDir) -> Json:
    """What the predictions depend on: how the baseline is asked, not who permits it or how patiently."""
    names = ("kind", "model", "prompts", "shots", "max_side", "parameters", "max_tokens")
    asked = asdict(config.baseline)
    return {name: asked[name] for name in names} | {"task": asdict(config.task)}


@dataclass(frozen=True)
class Plan:
    """What is about to be asked.

    Attributes:
        tests: the test examples of each part (fold) of the run.
        setups: ways of asking, to choose from, of each part.
        pictures: pictures that would leave at most, different files counted once.
    """

    tests: Mapping[str, Sequence[Example]]
    setups: Mapping[str, tuple[Setup, ...]]
    pictures: int


def plan(config: Config, run: RunDir, labels: Sequence[str]) -> Plan:
    """Reads the splits and lists the ways of asking that are to be compared on validation.

    Raises:
        ConfigError: a wording of its own does not hold the question, or there are no examples to choose with.
    """
    tests, setups = {}, {}
    refs = set()
    for part in run.parts(config.data.folds):
        tests[part.name] = example_files.read_split(part.split("test"))
        prompts.check(config.baseline.prompts, tests[part.name])
        train = example_files.read_split(part.split("train")) if max(config.baseline.shots, default=0) else []
        shots = [prompts.worked(train, labels, number) for number in config.baseline.shots or (0,)]
        setups[part.name] = tuple(Setup(words, shot) for words in (None, *config.baseline.prompts) for shot in shots)
        asked = [*tests[part.name], *(example for shot in shots for example in shot)]
        if len(setups[part.name]) > 1:
            asked += _validation(part)
        refs |= {ref for example in asked for ref in example.images}
    return Plan(tests, setups, len(refs))


def _validation(part: Part) -> list[Example]:
    found = example_files.read_split(part.split("val"))
    if not found:
        raise ConfigError(
            "baseline.prompts and baseline.shots are chosen on validation, which is empty: data.split.val."
        )
    return found


def tags(config: Config, run: RunDir) -> list[str]:
    """The names that a policy may give to this run's data."""
    digest = f"sha256:{sha256_file(run.manifest)}" if run.manifest.exists() else None
    return [tag for tag in (config.recipe, digest) if tag]


class Questioner:
    """Puts examples of one run to one baseline."""

    def __init__(self, config: Config, labels: Sequence[str], root: Path, asker: Asker, given: Policy) -> None:
        """Holds what stays the same from question to question."""
        self._config, self._labels, self._root = config, labels, root
        self._asker, self._policy = asker, given
        self.replies: list[Json] = []
        self.choice: list[Json] = []

    def choose(self, part: Part, setups: Sequence[Setup]) -> tuple[Setup, list[Prediction]]:
        """The way of asking with the most right answers on validation (of equals the first), and those answers."""
        if len(setups) == 1:
            return setups[0], []
        asked = _validation(part)
        columns = [self._column(setup, asked, f"validation {number}") for number, setup in enumerate(setups, 1)]
        right = [sum(row.outcome == "correct" for row in column) for column in columns]
        best = right.index(max(right))
        for setup, count in zip(setups, right, strict=True):
            told = {"part": part.name, "prompt": setup.prompt, "shots": len(setup.shots), "n": len(asked)}
            self.choice.append(told | {"correct": count, "chosen": setup is setups[best]})
        return setups[best], columns[best]

    def _column(self, setup: Setup, examples: Sequence[Example], what: str) -> list[Prediction]:
        return [self.ask(setup, one) for one in tqdm(examples, what, unit="question", file=sys.stderr, leave=False)]

    def ask(self, setup: Setup, example: Example) -> Prediction:
        """Asks one question and judges the reply."""
        sent = pictures.of(example, self._root, self._config.baseline.max_side)
        reply = self._asker.ask(request(self._config, self._labels, self._policy, setup, example, sent, self._root))
        self.replies.append({name: value for name, value in reply.items() if name != "text"})
        usage = {name: reply[name] for name in ("input_tokens", "output_tokens", "cost") if reply[name] is not None}
        return outcomes.prediction(
            self._config.task,
            self._labels,
            example,
            sent.image_sha256,
            text=reply["text"],
            withheld=outcomes.withheld({"outcome": reply["withheld"]}),
            seconds=reply["seconds"],
            model=reply["model"] or prices.model(self._config.baseline),
            usage=usage or None,
            form=_forms.of_provider(
                self._config.task, prices.model(self._config.baseline), self._config.baseline.max_side
            ),
        )


def request(
    config: Config,
    labels: Sequence[str],
    given: Policy | None,
    setup: Setup,
    example: Example,
    sent: pictures.Sent,
    root: Path,
) -> Request:
    """One question as it would leave; the list of labels leaves as a schema only where the policy names it."""
    return prompts.build(
        config.baseline,
        config.task,
        labels,
        setup,
        example,
        sent,
        root,
        model=prices.model(config.baseline),
        schema=given is None or "labels" in given.fields,
    )


def answers(
    config: Config,
    run: RunDir,
    examples: Sequence[Example],
    images_root: Path,
    labels: Sequence[str],
    clock: Clock = REAL_TIME,
) -> Iterator[Prediction]:
    """Asks every example that is not answered yet, in order. May be killed at any time and called again.

    Raises:
        EgressError: the policy does not permit it (before any socket is opened), or its budget is spent.
        ConfigError: the key is refused, or a setting cannot be used.
        InterruptedRun: the endpoint is down.
    """
    given = policy.load(config)
    check(config)
    planned = plan(config, run, labels)
    policy.check_data(given, tags(config, run), planned.pictures)
    prices.check_metered(config.baseline, given)
    print(
        f"{planned.pictures} pictures will leave for {given.address[0]}, permitted by {given.approver} in "
        f"{config.baseline.policy}",
        file=sys.stderr,
    )
    asker = Asker(config.baseline, run, given, clock)
    asked = Questioner(config, labels, images_root, asker, given)
    try:
        picked = {part.name: asked.choose(part, planned.setups[part.name]) for part in run.parts(config.data.folds)}
        held_out = [asdict(row) for _, rows in picked.values() for row in rows]
        if held_out:
            run.write_jsonl(run.validation(config.baseline.name), held_out)
        home = {example.id: name for name, tests in planned.tests.items() for example in tests}
        asked.replies.clear()
        for example in tqdm(examples, f"ask {config.baseline.name}", unit="question", file=sys.stderr):
            yield asked.ask(picked[home[example.id]][0], example)
    finally:
        asker.close()
        told = run.write_json(run.eval / f"{config.baseline.name}.baseline.json", about(config, asked, given))
        run.record([path for path in (told, *asker.files) if path.exists()])
    _tell(config, asked)


def check(config: Config) -> None:
    """What only a live baseline needs.

    Raises:
        ConfigError: the model or the address is missing.
    """
    baseline = config.baseline
    if not baseline.model or (baseline.kind == "any_llm" and "/" not in baseline.model):
        raise ConfigError(f"baseline.model: got {baseline.model!r}; expected a model id (any_llm: PROVIDER/MODEL).")
    if baseline.kind == "openai_compatible" and not baseline.base_url:
        raise ConfigError("baseline=openai_compatible needs baseline.base_url, such as http://localhost:8000/v1")
    if min(baseline.shots, default=0) < 0 or baseline.rate_per_min < 1 or baseline.retries < 0:
        raise ConfigError("baseline.shots and baseline.retries must be 0 or more, baseline.rate_per_min 1 or more.")
    if (
        baseline.max_tokens < 1
        or not baseline.timeout_s > 0
        or (baseline.max_side is not None and baseline.max_side < 1)
    ):
        raise ConfigError("baseline.max_tokens and baseline.max_side must be 1 or more, baseline.timeout_s above 0.")
    ours = [name for name in _OURS if name in baseline.parameters]
    if ours:
        raise ConfigError(
            f"baseline.parameters: {', '.join(ours)} cannot be set; one whole reply to our own question is read."
        )


def about(config: Config, asked: Questioner, given: Policy) -> Json:
    """How the baseline was asked and what came back: the keys of `pack.json`, the choice of prompt, and counts."""
    returned = sorted({reply["model"] for reply in asked.replies if reply["model"]})
    times = sorted(reply["time"] for reply in asked.replies)
    statuses = {name: status for reply in asked.replies for name, status in reply["parameters"].items()}
    sent = {"max_tokens": config.baseline.max_tokens} | config.baseline.parameters
    return {
        "provider": prices.provider(config.baseline),
        "model_requested": prices.model(config.baseline),
        "model_returned": returned[0] if len(returned) == 1 else returned or None,
        "recorded_from": times[0] if times else None,
        "recorded_to": times[-1] if times else None,
        "parameters": {name: {"value": sent.get(name), "status": status} for name, status in statuses.items()},
        "pixel_policy": pictures.policy(config.baseline.max_side),
        "prices": asdict(given.prices) if given.prices else None,
        "recorded_by": given.approver,
        "endpoint": given.endpoint,
        "prompt_choice": asked.choice,
        "outcomes": dict(Counter(reply["withheld"] or "answered" for reply in asked.replies)),
        "cost": sum(costs) if (costs := [r["cost"] for r in asked.replies if r["cost"] is not None]) else None,
    }


def _tell(config: Config, asked: Questioner) -> None:
    wanted, name = prices.model(config.baseline), config.baseline.name
    for other in sorted({reply["model"] for reply in asked.replies if reply["model"] not in (None, wanted)}):
        print(f"{name}: asked {wanted}, but {other} answered", file=sys.stderr)
    lost = sum(reply["withheld"] == "api_error" for reply in asked.replies)
    if lost:
        print(
            f"{name}: {lost} questions got no reply (api_error). To ask only those again, remove "
            f"eval/{name}.predictions.jsonl and run the same command.",
            file=sys.stderr,
        )
