"""The challenges that we can answer (RFC 8555, 8), as the library `acme` wants to have them.

Owns the choice among those that the server offers. The library knows http-01; tls-alpn-01 it has given up.
"""

from __future__ import annotations

from typing import Any

from acme import challenges, errors, messages
from josepy.jwk import JWK


@challenges.ChallengeResponse.register
class TLSALPN01Response(challenges.KeyAuthorizationChallengeResponse):
    """Says to the server that it may look (RFC 8737, 3)."""

    typ = "tls-alpn-01"


@challenges.Challenge.register
class TLSALPN01(challenges.KeyAuthorizationChallenge):
    """To be answered in a handshake (RFC 8737)."""

    response_cls = TLSALPN01Response
    typ = TLSALPN01Response.typ

    def validation(self, account_key: JWK, **_: Any) -> str:
        """What the digest in the certificate is made of."""
        return self.key_authorization(account_key)


class Unanswered:
    """A challenge that the server waits for."""

    def __init__(self, authorization: messages.AuthorizationResource, kind: str, key: JWK) -> None:
        """`kind` is `tls-alpn-01` or `http-01`. Raises the library's Error if the server does not offer it."""
        host = authorization.body.identifier.value
        offered = {body.chall.typ: body for body in authorization.body.challenges if hasattr(body.chall, "typ")}
        if kind not in offered:
            raise errors.Error(f"the server offers {' and '.join(sorted(offered))} for {host}, not {kind}")
        self.body = offered[kind]
        self.response = self.body.response(key)
        self.name = host if kind == TLSALPN01.typ else self.body.chall.encode("token")
        """What it is asked by: the host, or the token."""
        self.answer: str = self.body.key_authorization(key)
