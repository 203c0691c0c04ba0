"""The policy file: who permitted what to leave, to which endpoint, until when. Without it nothing opens a socket."""

import datetime
import ipaddress
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import yaml

from finetune.config.compared_models import names
from finetune.config.convert import to_dataclass
from finetune.config.schema import Config
from finetune.errors import ConfigError, EgressError

FIELDS = ("image", "question", "labels", "examples")
"""What may leave: pictures; the question; the labels as a schema; worked examples, which hold training answers."""

LIVE = ("openai_compatible", "any_llm")
"""Kinds of baseline that ask over a network."""

KEY_NAME = re.compile(r"[A-Z][A-Z0-9_]*_API_(?:KEY|TOKEN)(?:_[A-Z0-9]+)?")
"""Names of environment variables whose values may be sent as a key: no other secret of this machine is,
such as AWS_SECRET_ACCESS_KEY."""

_PORTS = {"http": 80, "https": 443}
_EXPECTED = "expected https://HOST/PATH or http://HOST:PORT/PATH."


@dataclass(frozen=True)
class Prices:
    """What a million tokens cost, for models that no price list knows."""

    input_per_million: float
    output_per_million: float


@dataclass(frozen=True)
class Policy:
    """What one person permitted.

    Attributes:
        endpoint: URL below which requests may go.
        dataset: the recipe's name, or `sha256:` and the digest of the run's data/manifest.jsonl.
        fields: of `FIELDS`.
        max_images: different pictures that may leave, in all.
        max_cost: in the currency of the price list (US dollars), in all; `unmetered` = not billed by the token.
        expires: last day, YYYY-MM-DD.
        approver: who permits it.
        prices: where no price list knows the model.
    """

    endpoint: str
    dataset: str
    fields: tuple[str, ...]
    max_images: int
    max_cost: float | Literal["unmetered"]
    expires: str
    approver: str
    prices: Prices | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the endpoint."""
        return address(self.endpoint)


def address(url: str) -> tuple[str, int]:
    """Host and port of a URL.

    Raises:
        EgressError: it is none of http or https.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise EgressError(f"{url!r} is no endpoint ({error}); {_EXPECTED}") from error
    if parts.scheme not in _PORTS or not host or port == 0:
        raise EgressError(f"{url!r} is no endpoint; {_EXPECTED}")
    return host, port or _PORTS[parts.scheme]


def asks(config: Config) -> bool:
    """Whether a run of this configuration would put questions to a foreign endpoint."""
    return config.baseline.kind in LIVE and "evaluate" in config.stages and config.baseline.name in names(config)


def load(config: Config) -> Policy:
    """Reads the policy and checks what needs no data: network, form, expiry, endpoint, fields.

    Raises:
        EgressError: live calls are not permitted; everything that is missing is listed.
    """
    place = config.baseline.policy
    if place is None:
        raise EgressError(
            f"baseline={config.baseline.kind} would send pictures to an endpoint. That needs a policy file: say which "
            "with baseline.policy=FILE (docs/baselines.md has its form). Nothing was sent."
        )
    policy = _read(Path(place).expanduser())
    found = [*_problems(policy), *_config_problems(config, policy)]
    if found:
        raise EgressError(f"{place} does not permit this; nothing was sent:\n  " + "\n  ".join(found))
    return policy


def _read(file: Path) -> Policy:
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
        if isinstance(tree, dict) and isinstance(tree.get("expires"), datetime.date):
            tree["expires"] = tree["expires"].isoformat()
        return to_dataclass(tree, Policy, "policy")
    except OSError as error:
        raise EgressError(f"baseline.policy: {file} cannot be read ({error.strerror}). Nothing was sent.") from error
    except (ConfigError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise EgressError(f"baseline.policy: {file} is no policy; nothing was sent:\n{error}") from error


def _problems(policy: Policy) -> list[str]:
    found = [f"fields: {field!r} is none of {', '.join(FIELDS)}" for field in policy.fields if field not in FIELDS]
    found += [
        f"fields: lacks {field}, without which nothing can be asked"
        for field in FIELDS[:2]
        if field not in policy.fields
    ]
    try:
        last = datetime.date.fromisoformat(policy.expires)
        if last < datetime.datetime.now(datetime.UTC).date():
            found.append(f"expires: {policy.expires} is past; ask {policy.approver} for a new permission")
    except ValueError:
        found.append(f"expires: got {policy.expires!r}, expected YYYY-MM-DD")
    if not policy.approver.strip():
        found.append("approver: is empty; a person permits this")
    return [*found, *_limit_problems(policy)]


def _limit_problems(policy: Policy) -> list[str]:
    """Limits that would limit nothing: every comparison with NaN is false, and a negative price earns money."""
    found = []
    if policy.max_images < 1:
        found.append(f"max_images: got {policy.max_images}, expected 1 or more")
    if policy.max_cost != "unmetered" and not _is_amount(policy.max_cost):
        found.append(f"max_cost: got {policy.max_cost}, expected an amount or unmetered")
    given = policy.prices
    if given is not None and not (_is_amount(given.input_per_million) and _is_amount(given.output_per_million)):
        found.append(f"prices: got {given.input_per_million} and {given.output_per_million}, expected amounts")
    return found


def _is_amount(value: float) -> bool:
    return math.isfinite(value) and value >= 0


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _config_problems(config: Config, policy: Policy) -> list[str]:
    found = []
    baseline = config.baseline
    if config.data.sensitivity == "restricted":
        found.append("data.sensitivity=restricted: pictures of restricted data go to no live baseline")
    if urlsplit(policy.endpoint).scheme == "http" and not _is_loopback(policy.address[0]):
        found.append(f"endpoint: {policy.endpoint} is not encrypted; beyond this machine it is https")
    if baseline.api_key_env is not None and not KEY_NAME.fullmatch(baseline.api_key_env):
        found.append(f"baseline.api_key_env: {baseline.api_key_env!r} is not the name of a key, as in NAME_API_KEY")
    if config.network != "allow":
        found.append(f"network={config.network} refuses every connection; live calls need network=allow as well")
    if baseline.base_url is not None and not covers(policy.endpoint, baseline.base_url):
        found.append(f"endpoint: permits {policy.endpoint}, baseline.base_url is {baseline.base_url}")
    if max(baseline.shots, default=0) > 0 and "examples" not in policy.fields:
        found.append("fields: baseline.shots sends training pictures with their answers, which needs 'examples'")
    return found


def covers(endpoint: str, url: str) -> bool:
    """Whether a URL lies at or below an endpoint: same scheme, host and port, and its path, without a way up.

    What is no http or https URL covers nothing and is covered by nothing.
    """
    try:
        here, there = address(endpoint), address(url)
    except EgressError:
        return False
    own, other = urlsplit(endpoint), urlsplit(url)
    base = own.path.rstrip("/")
    below = other.path == base or other.path.startswith(f"{base}/")
    climbs = ".." in re.split(r"[/\\]", unquote(other.path))  # `/v1/../admin`, as a server may read it
    return own.scheme == other.scheme and here == there and below and not climbs


def check_data(policy: Policy, tags: Sequence[str], images: int) -> None:
    """Checks what needs the data: which it is, and how many pictures would leave.

    Raises:
        EgressError: the policy is about other data, or about fewer pictures.
    """
    if policy.dataset not in tags:
        raise EgressError(
            f"the policy is about the data set {policy.dataset!r}, this run's is {' or '.join(map(repr, tags))}. "
            f"Nothing was sent; ask {policy.approver}."
        )
    if images > policy.max_images:
        raise EgressError(
            f"{images} pictures would leave, the policy permits {policy.max_images}. Nothing was sent; take fewer "
            f"(data.limit) or ask {policy.approver}."
        )
