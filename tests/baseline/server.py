"""A scripted provider on loopback: OpenAI's, Anthropic's and Gemini's wire formats, and every way they fail."""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FORMS = {"/chat/completions": "openai", "/messages": "anthropic", ":generateContent": "gemini"}


@dataclass
class Arrived:
    """One request as it came in: path, headers, body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> str:
        return next(form for ending, form in FORMS.items() if self.path.partition("?")[0].endswith(ending))

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Provider:
    """What will be said to which request (the rest gets `usual`), and everything that came in."""

    port: int = 0
    script: list[Callable[["Handler"], None]] = field(default_factory=list)
    usual: "Callable[[Handler], None]" = field(default_factory=lambda: says("ALPHA"))
    arrived: list[Arrived] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    provider: Provider

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        provider = self.provider
        provider.arrived.append(Arrived(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        act = provider.script.pop(0) if provider.script else provider.usual
        act(self)

    def log_message(self, *_: object) -> None:
        pass

    @property
    def form(self) -> str:
        return self.provider.arrived[-1].form

    @property
    def model(self) -> str:
        """The model that was asked for."""
        last = self.provider.arrived[-1]
        return last.path.partition("models/")[2].partition(":")[0] if last.form == "gemini" else last.json["model"]

    def answer(self, status: int, content: bytes, headers: dict[str, str] | None = None, claim: int = 0) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(claim or len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving() -> Iterator[Provider]:
    """Runs the provider until the block ends."""
    provider = Provider()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"provider": provider}))
    server.daemon_threads = True
    provider.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


ENDS = {
    "openai": {"stop": "stop", "length": "length", "filter": "content_filter"},
    "anthropic": {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal"},
    "gemini": {"stop": "STOP", "length": "MAX_TOKENS", "filter": "SAFETY"},
}


def body(form: str, model: str, text: str, end: str = "stop") -> dict:
    """A whole reply in one of the three formats: 100 tokens in, 5 out."""
    if form == "openai":
        message = {"role": "assistant", "content": None if end == "refusal" else text}
        if end == "refusal":
            message["refusal"] = text
        choice = {"index": 0, "message": message, "finish_reason": ENDS[form].get(end, "stop")}
        usage = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
        return {
            "id": "r",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [choice],
            "usage": usage,
        }
    if form == "anthropic":
        return {
            **{"id": "r", "type": "message", "role": "assistant", "model": model},
            "content": [{"type": "text", "text": text}] if text else [],
            **{"stop_reason": ENDS[form][end], "stop_sequence": None},
            "usage": {"input_tokens": 100, "output_tokens": 5},
        }
    usage = {"promptTokenCount": 100, "candidatesTokenCount": 5, "totalTokenCount": 105}
    if end == "blocked":
        return {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": usage, "modelVersion": model}
    content = {"role": "model", "parts": [{"text": text}]} if text else {"role": "model"}
    candidate = {"content": content, "finishReason": ENDS[form][end], "index": 0}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model}


def says(text: str, end: str = "stop", model: str | None = None) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(
        200, json.dumps(body(handler.form, model or handler.model, text, end)).encode()
    )


def fails(
    status: int, message: str = "no", headers: dict[str, str] | None = None, **more: str
) -> Callable[[Handler], None]:
    def act(handler: Handler) -> None:
        error = {"message": message, "type": "error", "code": status if handler.form == "gemini" else None} | more
        handler.answer(status, json.dumps({"type": "error", "error": error}).encode(), headers)

    return act


def raw(content: bytes) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(200, content)


def resets(handler: Handler) -> None:
    """Half a body, then the connection is torn down (RST)."""
    content = json.dumps(body(handler.form, handler.model, "ALPHA")).encode()
    handler.answer(200, content[:20], claim=len(content))
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def hangs(handler: Handler) -> None:
    """Never answers."""
    handler.provider.closing.wait()
    handler.close_connection = True


def redirects(url: str) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(307, b"", {"Location": url})
