"""The plugin `tls`: several certificates, client certificates, redirects to HTTPS, HSTS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from gateway import App, ClientError, Exchange, PluginConfig, Registry, Response, hookimpl
from gateway_tls.acme.pending import Pending
from gateway_tls.acme.storage import Storage
from gateway_tls.identity import IdentityFields
from gateway_tls.settings import HSTS, ClientCertificates, Identity, ListenerKeys, Pair, Redirect
from gateway_tls.termination import Termination

__all__ = ["HSTS", "TLS", "ClientCertificates", "Identity", "ListenerKeys", "Pair", "Redirect", "Termination"]

_CHALLENGES = b"/.well-known/acme-challenge/"
"""RFC 8555, 8.3."""
HTTP_CHALLENGE = "http-01"


class TLS:
    """Terminate TLS with several certificates or with clients' own, and have clients use it.

    Brings the keys of a listener's `tls` beyond `cert` and `key`.
    """

    api = 1

    class Config(PluginConfig):
        """What is said and done on every route."""

        redirect: Redirect | None = None
        """Send clients of listeners without TLS to the one with it; `{}` is enough."""
        hsts: HSTS = HSTS()
        """Have browsers come by TLS only."""
        identity: Identity | None = None
        """Tell endpoints by which certificate a client has come; `{}` is enough."""
        http_01: bool = False
        """Answer challenges of ACME's `http-01`. Not needed beside `redirect` or `identity`, with which requests
        are looked at anyway."""

    def __init__(self, config: Config) -> None:
        self._redirect = config.redirect
        self._identity = IdentityFields(config.identity) if config.identity else None
        self._hsts = _hsts_value(config.hsts)
        self._challenges: dict[bytes, bytes] = {}
        """Those of http-01 that are pending: bodies by path."""
        self._storages: list[Storage] = []
        """Where other gateways may have left theirs."""
        self._pending: Pending | None = None
        self.answers_challenges = bool(config.redirect or config.identity or config.http_01)
        """Whether requests are looked at, and so http-01 is answered."""
        # Takes the hook away: even one that does nothing costs each exchange.
        if not self.answers_challenges:
            self.on_request = None  # type: ignore[assignment,method-assign]
        if not self._hsts:
            self.on_response = None  # type: ignore[assignment,method-assign]

    @hookimpl
    def register(self, registry: Registry) -> None:
        """Bring what terminates TLS at an edge."""
        registry.add("terminator", "tls", Termination)

    @hookimpl
    def on_check(self, app: App) -> None:
        """Refuse challenges that nobody would answer."""
        for way in app.ways:
            if isinstance(way.terminator, Termination):
                way.terminator.check(app)

    @hookimpl
    def startup(self, app: App) -> None:
        """Hear of challenges."""
        if self.answers_challenges:
            self._pending = Pending(app, HTTP_CHALLENGE, self._take_challenges)
            terminators = [way.terminator for way in app.ways if isinstance(way.terminator, Termination)]
            self._storages = [each.storage for each in terminators if each.storage is not None]

    @hookimpl
    def shutdown(self, app: App) -> None:
        """Hear of no more."""
        if self._pending is not None:
            self._pending.close()

    def _take_challenges(self, answers: dict[str, str]) -> None:
        self._challenges = {_CHALLENGES + token.encode(): answer.encode() for token, answer in answers.items()}

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """Answer a challenge that is pending; send plaintext away; tell endpoints who the client is."""
        path = exchange.request.raw_path
        if path.startswith(_CHALLENGES) and not _is_secure(exchange):
            answer = self._challenges.get(path)
            if answer is not None:
                return _to_challenge(answer)
            if self._storages:
                return self._ask_storages(exchange, path[len(_CHALLENGES) :].decode("latin-1"))
        return self._pass(exchange)

    async def _ask_storages(self, exchange: Exchange, token: str) -> Response | None:
        """Answer what a gateway that shares a folder with this one has been asked; else go on as ever."""
        for storage in self._storages:
            answer = await asyncio.to_thread(storage.answer, HTTP_CHALLENGE, token)
            if answer is not None:
                return _to_challenge(answer.encode())
        return self._pass(exchange)

    def _pass(self, exchange: Exchange) -> Response | None:
        if self._redirect and not _is_secure(exchange):
            return self._redirection(exchange, self._redirect)
        if self._identity:
            self._identity.apply(exchange)
        return None

    def _redirection(self, exchange: Exchange, redirect: Redirect) -> Response:
        request = exchange.request
        if not request.host or not request.raw_path.startswith(b"/"):
            raise ClientError("there is no place with TLS to send this to", status=400)
        port = "" if redirect.to_port == 443 else f":{redirect.to_port}"
        location = f"https://{request.host}{port}".encode() + request.target
        return Response(redirect.status, {"location": location})

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        """RFC 6797 7.2: never over plaintext."""
        if _is_secure(exchange):
            response.headers.set_default(b"strict-transport-security", self._hsts)


def _to_challenge(answer: bytes) -> Response:
    return Response(200, {"content-type": "application/octet-stream"}, answer)


def _is_secure(exchange: Exchange) -> bool:
    """Whether the client speaks TLS: with us, or with a trusted proxy before us that says so."""
    request = exchange.request
    if request.scheme in ("https", "wss"):
        return True
    return exchange.app.is_trusted(request) and request.headers.get(b"x-forwarded-proto", b"") == b"https"


def _hsts_value(hsts: HSTS) -> bytes:
    if not hsts.max_age:
        return b""
    words = [f"max-age={int(hsts.max_age)}"]
    words += ["includeSubDomains"] * hsts.include_subdomains + ["preload"] * hsts.preload
    return "; ".join(words).encode()
