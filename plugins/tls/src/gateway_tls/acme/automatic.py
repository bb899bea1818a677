"""What a listener sees of ACME: a certificate to serve, a stand-in until it is there, and answers to challenges.

Owns neither: the file is `storage`'s, the job `renewing`'s.
"""

from __future__ import annotations

import ssl
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gateway import App, ClientHello, ConfigurationError, HandshakeRefused, InMemory
from gateway_tls.acme.keys import challenge_answer, stand_in
from gateway_tls.acme.pending import Pending
from gateway_tls.acme.renewing import JOB, Renewal
from gateway_tls.acme.settings import Acme
from gateway_tls.acme.storage import Storage
from gateway_tls.contexts import UnfitFile, check_readable, server_context
from gateway_tls.settings import ListenerKeys, Pair

ALPN = "acme-tls/1"
ALPN_CHALLENGE = "tls-alpn-01"


class Automatic:
    """The certificate of `tls.acme` of one listener, in one worker."""

    def __init__(self, keys: ListenerKeys, settings: Acme, protocols: tuple[str, ...]) -> None:
        """Raises UnfitFile."""
        if find_spec("acme") is None:
            raise UnfitFile(".acme: needs the package 'acme': pip install 'gateway-tls[acme]'")
        if settings.ca is not None:
            check_readable(settings.ca, ".acme.ca")
        self._keys = keys
        self._settings = settings
        self._protocols = protocols
        self.storage = Storage(settings)
        self.storage.check()
        self._stand_in: ssl.SSLContext | None = None
        self._authorizations: dict[str, str] = {}
        """What is asked for, by host."""
        self._answers: dict[str, ssl.SSLContext] = {}
        """What has been asked for already."""
        self._pending: Pending | None = None
        self._renewal: Renewal | None = None

    @property
    def domains(self) -> tuple[str, ...]:
        """The hosts that it is for."""
        return self._settings.domains

    @property
    def file(self) -> Path:
        """What changes when there is a new certificate."""
        return self.storage.certificate

    def pair(self) -> Pair | None:
        """What to serve; None before there is anything."""
        path = self.storage.serving()
        return Pair(cert=path, key=path) if path is not None else None

    def stand_in(self) -> ssl.SSLContext:
        """What to serve before: a listener must have something, else the challenge could not be answered."""
        if self._stand_in is None:
            with InMemory(stand_in(self.domains)) as path:
                pair = Pair(cert=path, key=path)
                self._stand_in = server_context(self._keys, pair, ".acme", self._protocols)
        return self._stand_in

    def answer(self, hello: ClientHello) -> ssl.SSLContext | None:
        """The answer to a challenge, if that is what a client wants (RFC 8737, 3).

        Raises HandshakeRefused if none is pending.
        """
        if hello.alpn != (ALPN,):
            return None
        host = hello.server_name
        found = self._answers.get(host)
        if found is None and host in self._authorizations:
            found = self._answers[host] = _answering(host, self._authorizations[host])
        if found is None and (elsewhere := self.storage.answer(ALPN_CHALLENGE, host)) is not None:
            found = _answering(host, elsewhere)
        if found is None:
            raise HandshakeRefused("no challenge is pending for its host", "no_application_protocol")
        return found

    def check(self, app: App) -> None:
        """Refuse http-01 where nobody would answer it. Raises ConfigurationError."""
        if self._settings.challenge != "http-01":
            return
        needs = 'tls.acme.challenge = "http-01" needs'
        if all(listener.tls for listener in app.settings.listeners):
            raise ConfigurationError(f"{needs} a listener without TLS, which the ACME server reaches on port 80")
        plugins = [plugin for route in app.router.routes for _, plugin in route.pipeline.plugins]
        if not any(getattr(plugin, "answers_challenges", False) for plugin in plugins):
            raise ConfigurationError(f"{needs} plugins.tls.http_01 = true, or a redirect")

    def start(self, app: App, is_first: bool) -> None:
        """Listen to challenges; the worker that is to begins to renew, for the first of equal listeners."""
        self.check(app)
        if is_first and app.once(JOB):
            self.storage.prepare()
            self._renewal = Renewal(app, self._settings, self.storage)
        self._pending = Pending(app, ALPN_CHALLENGE, self._take)

    def stop(self) -> None:
        """End that."""
        if self._pending is not None:
            self._pending.close()
        if self._renewal is not None:
            self._renewal.close()

    def _take(self, answers: dict[str, str]) -> None:
        self._authorizations, self._answers = answers, {}


def _answering(host: str, authorization: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([ALPN])
    context.sslobject_class = _Mute
    with InMemory(challenge_answer(host, authorization)) as path:
        context.load_cert_chain(path)
    return context


class _Mute(ssl.SSLObject):
    """A connection whose client has nothing to say after the handshake (RFC 8737, 4).

    Else it could make requests without the certificate that the listener may ask its clients for.
    """

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """The end."""
        return b"" if buffer is None else 0
