"""The last metre: every request of an SDK passes here, is held against the policy, written down, and only then leaves.

SDKs are handed this transport instead of their own, so that their retries, proxies, redirects and the headers that tell
of this machine have no say. What came back is kept as it stood on the wire.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from finetune.baseline.policy import covers
from finetune.errors import EgressError
from finetune.rundir import Json

_ABOUT_US = ("x-stainless-", "x-goog-api-client", "user-agent")
"""Headers in which SDKs name operating system, versions and machine type."""

_OF_THE_BODY = ("content-encoding", "content-length", "transfer-encoding")


@dataclass(frozen=True)
class Exchange:
    """One request and what came back: status, headers (lower case) and the body."""

    sent: bytes
    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Json | None:
        """The body as a JSON object, or None where it is none."""
        try:
            value = json.loads(self.content)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None


class Wire(httpx.AsyncBaseTransport):
    """Transport of one endpoint.

    Args:
        endpoint: URL below which requests may go.
        on_send: called with URL and body before a socket is opened.
        secret: the key, struck out of whatever the server echoes.
    """

    def __init__(self, endpoint: str, on_send: Callable[[str, bytes], None], secret: str | None) -> None:
        """Opens nothing yet."""
        self._endpoint = endpoint
        self._on_send = on_send
        self._secret = secret.encode() if secret else None
        self._inner = httpx.AsyncHTTPTransport(retries=0)
        self.sent = False
        self.exchange: Exchange | None = None
        self.refusal: Exception | None = None

    def begin(self) -> None:
        """Forgets the former exchange."""
        self.sent, self.exchange, self.refusal = False, None, None

    def client(self, timeout_s: float) -> httpx.AsyncClient:
        """A client for SDKs that takes this way out and no other."""
        return httpx.AsyncClient(transport=self, timeout=timeout_s, follow_redirects=False, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends one request.

        Raises:
            EgressError: it would go elsewhere than the policy permits; also kept in `refusal`.
        """
        body, url = await request.aread(), str(request.url)
        try:
            if not covers(self._endpoint, url.partition("?")[0]):
                raise EgressError(f"the policy permits {self._endpoint}; a request to {request.url.host} was refused.")
            self._on_send(url.partition("?")[0], body)
        except Exception as error:
            self.refusal = error  # an SDK may wrap it as a broken connection
            raise
        for name in [name for name in request.headers if name.startswith(_ABOUT_US)]:
            del request.headers[name]
        self.sent = True
        response = await self._inner.handle_async_request(request)
        try:
            content = self._struck(await response.aread())
        finally:
            await response.aclose()
        kept = {name: value for name, value in response.headers.items() if name.lower() not in _OF_THE_BODY}
        self.exchange = Exchange(body, response.status_code, kept, content)
        return httpx.Response(response.status_code, headers=kept, content=content, request=request)

    def _struck(self, content: bytes) -> bytes:
        return content.replace(self._secret, b"[key]") if self._secret else content

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._inner.aclose()
