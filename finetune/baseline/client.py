"""One question at a time: from the cache, or over the wire with bounded retries, a rate, a budget and a ledger."""

import asyncio
import datetime
import email.utils
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from finetune.baseline import prices, prompts, responses, sdks
from finetune.baseline.ledger import EGRESS, Journal, Ledger
from finetune.baseline.policy import Policy
from finetune.baseline.prompts import Request
from finetune.config.schema import BaselineConfig
from finetune.errors import ConfigError, EgressError, InterruptedRun
from finetune.rundir import Json, RunDir, now

if TYPE_CHECKING:  # the extra [api] may not be installed
    from finetune.baseline.transport import Exchange

LONGEST_WAIT_S = 900.0
"""A server that asks to wait longer is down for us: the run stops, and the same command continues later."""

LONGEST_BACKOFF_S = 60.0
LOST_IN_A_ROW = 10
"""So many questions in a row without any reply mean that the endpoint is down, not that questions are bad."""


@dataclass(frozen=True)
class Clock:
    """Time as the asker sees it, so that tests need not wait."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


class Asker:
    """Asks a foreign model, and remembers every answer at once."""

    def __init__(self, baseline: BaselineConfig, run: RunDir, policy: Policy, clock: Clock) -> None:
        """Opens ledger and cache of the run; no socket.

        Raises:
            ConfigError: key or extra is missing.
            IntegrityError: the ledger was altered.
        """
        self._baseline, self._policy, self._clock = baseline, policy, clock
        self._key = sdks.secret(baseline)
        self.ledger = Ledger(run, run.eval / EGRESS)
        self._journal = Journal(run, run.eval / f"{baseline.name}.replies.jsonl")
        self.files = (run.eval / EGRESS, self._journal.path)
        self._replies: dict[str, Json] = {row["key"]: row for row in self._journal.rows()}
        self._wire, self._send = sdks.connect(baseline, self._key, policy.endpoint, self._note_send)
        self._loop = asyncio.Runner()
        self._refused: dict[str, str] = {}
        self._last_send = float("-inf")
        self._lost = 0
        self._leaving: tuple[Request, int] | None = None
        self._entry = -1

    def close(self) -> None:
        """Closes connections and the event loop."""
        self._loop.run(self._wire.aclose())
        self._loop.close()

    def ask(self, request: Request) -> Json:
        """The reply to one request, asked only if it is not known yet.

        Returns:
            `key`, `text`, `withheld`, `detail`, `model`, `input_tokens`, `output_tokens`, `cost`, `seconds`, `time`,
            `parameters`. `withheld` is `api_error` where no reply could be had; that one is not kept.

        Raises:
            EgressError: the budget is spent, or the request would go elsewhere.
            ConfigError: the key is refused, or the endpoint does not know the model.
            InterruptedRun: the endpoint is down.
        """
        known = self._replies.get(request.key)
        if known is not None:
            return known
        found = self._asked(request)
        if found["withheld"] == "api_error":
            self._lost += 1
            if self._lost >= LOST_IN_A_ROW:
                raise InterruptedRun(
                    f"{self._policy.endpoint} gave no reply to {self._lost} questions in a row ({found['detail']}). "
                    "What was answered is kept; the same command continues."
                )
            return found
        self._lost = 0
        self._journal.append(found)
        self._replies[request.key] = found
        return found

    def _asked(self, request: Request) -> Json:
        current, attempt = self._without_refused(request), 0
        while True:
            self._check_budget(current)
            self._pace()
            failure = self._once(request, current, attempt)
            if not isinstance(failure, responses.Refusal):
                return failure
            if failure.kind == "parameter" and failure.parameter is not None:
                self._refused[failure.parameter] = failure.message
                current = self._without_refused(request)
                continue
            attempt += 1
            if failure.kind == "item" or attempt > self._baseline.retries:
                return self._row(request, "api_error", failure.message)

    def _without_refused(self, request: Request) -> Request:
        options = request.options
        for name in self._refused:
            options = sdks.without(options, name) if name in options else options
        return replace(request, options=options)

    def _check_budget(self, request: Request) -> None:
        costs, limit = self.ledger.costs, self._policy.max_cost
        told = (
            "Everything answered so far is kept. Raise it in the policy and run the same command again; it continues."
        )
        if limit != "unmetered" and sum(costs) + max(costs, default=0.0) > limit:
            raise EgressError(f"budget reached: {sum(costs):.4f} of max_cost {limit:g} are spent. {told}")
        fresh = set(request.images) - self.ledger.images
        if len(self.ledger.images) + len(fresh) > self._policy.max_images:
            raise EgressError(f"budget reached: max_images {self._policy.max_images} pictures have left. {told}")

    def _pace(self) -> None:
        wait = self._last_send + 60.0 / self._baseline.rate_per_min - self._clock.now()
        if wait > 0:
            self._clock.sleep(wait)
        self._last_send = self._clock.now()

    def _note_send(self, url: str, body: bytes) -> None:
        assert self._leaving is not None
        request, attempt = self._leaving
        digest = hashlib.sha256(body).hexdigest()
        self._entry = self.ledger.append(
            *("send",), endpoint=url, body_sha256=digest, bytes=len(body), images=request.images, attempt=attempt
        )

    def _once(self, asked: Request, request: Request, attempt: int) -> "Json | responses.Refusal":
        """Sends once; returns the row to keep, or what kept us from it (after the wait that it asks for)."""
        self._leaving = (request, attempt)
        self._wire.begin()
        began, problem = time.perf_counter(), ""
        try:
            self._loop.run(asyncio.wait_for(self._send(request), self._baseline.timeout_s))
        except Exception as error:  # each SDK has its own tree of errors; the wire has seen what happened
            problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            if self._wire.refusal is not None:
                raise self._wire.refusal from error
            if not self._wire.sent:
                return self._unsent(request, problem)
        exchange = self._wire.exchange
        if not self._wire.sent:
            raise EgressError(f"the SDK for {self._baseline.model} answered without our connection; it is not used.")
        if exchange is None:
            failure = responses.Refusal("retry", problem or "no reply")
            self._note_reply(failure.kind, None, failure.message)
            self._wait(attempt, {})
            return failure
        return self._judged(asked, request, exchange, attempt, time.perf_counter() - began)

    def _unsent(self, request: Request, problem: str) -> responses.Refusal:
        """An SDK that will not even send: it names a parameter, or it cannot be used."""
        failure = responses.read_error(400, {"error": {"message": problem}}, request.options)
        if failure.kind != "parameter":
            raise ConfigError(f"baseline.model={self._baseline.model}: the SDK sent nothing ({problem}).")
        return failure

    def _judged(
        self, asked: Request, request: Request, exchange: "Exchange", attempt: int, seconds: float
    ) -> "Json | responses.Refusal":
        raw = exchange.json()
        if exchange.status >= 300:
            failure = responses.read_error(exchange.status, raw, request.options)
        else:
            try:
                reply = responses.read(raw) if raw is not None else None
            except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
                failure = responses.Refusal("retry", f"{exchange.status}: not a reply that is known here ({error!r})")
            else:
                if reply is not None:
                    return self._kept(asked, request, exchange, reply, seconds)
                failure = responses.Refusal("retry", f"{exchange.status}: the body is no whole JSON")
        self._note_reply(failure.kind, exchange.status, failure.message)
        if failure.kind == "filtered":
            return self._row(asked, "filtered", failure.message, seconds=seconds)
        if failure.kind in ("key", "quota", "stop"):
            raise ConfigError(_STOPS[failure.kind].format(told=failure.message, env=self._baseline.api_key_env))
        if failure.kind == "retry":
            self._wait(attempt, exchange.headers)
        return failure

    def _kept(
        self, asked: Request, request: Request, exchange: "Exchange", reply: responses.Reply, seconds: float
    ) -> Json:
        cost = prices.cost(self._baseline, self._policy.prices, reply.input_tokens, reply.output_tokens)
        self._note_reply(reply.withheld or "answered", exchange.status, reply.detail, reply=reply, cost=cost)
        row = self._row(asked, reply.withheld, reply.detail, prompts.unwrap(request, reply.text), seconds)
        return row | {
            "model": reply.model,
            "input_tokens": reply.input_tokens,
            "output_tokens": reply.output_tokens,
            "cost": cost,
            "parameters": self._parameters(asked, exchange.sent),
        }

    def _parameters(self, asked: Request, body: bytes) -> dict[str, str]:
        """What became of each parameter: refused by the server, ignored by the SDK (never sent), or accepted."""
        names = _names(json.loads(body))

        def status(name: str) -> str:
            if name in self._refused:
                return "refused"
            spellings = {alias.replace("_", "") for alias in responses.ALIASES.get(name, (name.casefold(),))}
            return "accepted" if spellings & names else "ignored"

        return {name: status(name) for name in asked.options}

    def _note_reply(
        self,
        outcome: str,
        status: int | None,
        detail: str,
        *,
        reply: responses.Reply | None = None,
        cost: float | None = None,
    ) -> None:
        tokens = {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens} if reply else {}
        model = reply.model if reply else None
        fields = {"send": self._entry, "status": status, "outcome": outcome, "detail": detail, "cost": cost}
        self.ledger.append("reply", **fields, model=model, **tokens)

    def _row(self, asked: Request, withheld: str | None, detail: str, text: str = "", seconds: float = 0.0) -> Json:
        nothing: Json = dict.fromkeys(("model", "input_tokens", "output_tokens", "cost"))
        row = {"key": asked.key, "text": text, "withheld": withheld, "detail": detail, "seconds": round(seconds, 6)}
        return row | nothing | {"time": now(), "parameters": {}}

    def _wait(self, attempt: int, headers: dict[str, str]) -> None:
        """Waits as long as the server asks, else twice as long each time; not after the last attempt."""
        if attempt >= self._baseline.retries:
            return
        told = retry_after_s(headers, self._clock.now())
        if told is not None and told > LONGEST_WAIT_S:
            raise InterruptedRun(
                f"{self._policy.endpoint} asks to wait {told:.0f} s. What was answered is kept; run the same command "
                "again then."
            )
        self._clock.sleep(told if told is not None else min(LONGEST_BACKOFF_S, 2.0**attempt))


_STOPS = {
    "key": "the endpoint refuses the key ({told}). Everything answered so far is kept: put a valid key into {env} and "
    "run the same command again; it continues.",
    "quota": "the account has no money or quota left ({told}). Everything answered so far is kept; the same command "
    "continues.",
    "stop": "the endpoint does not take such requests ({told}). Check baseline.model and baseline.base_url.",
}


def retry_after_s(headers: dict[str, str], now_s: float) -> float | None:
    """Seconds to wait by `Retry-After`, given in seconds or as an HTTP date (RFC 9110, 10.2.3); None without it.

    A value that is neither counts as absent.
    """
    told = {name.casefold(): value for name, value in headers.items()}.get("retry-after", "").strip()
    if told.isdecimal():
        return float(told)
    try:
        date = email.utils.parsedate_to_datetime(told)
        date = date if date.tzinfo else date.replace(tzinfo=datetime.UTC)  # the obsolete form names no zone
        return max(0.0, date.timestamp() - now_s)
    except (ValueError, OverflowError):
        return None


def _names(value: Any) -> set[str]:
    """Every key of a JSON value, folded as `ALIASES` are."""
    if isinstance(value, list):
        return set().union(*map(_names, value))
    if not isinstance(value, dict):
        return set()
    return {name.casefold().replace("_", "") for name in value} | set().union(*map(_names, value.values()))
