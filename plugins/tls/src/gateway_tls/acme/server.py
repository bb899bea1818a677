"""The ACME server, as our account sees it: everything here waits for the network, and so belongs in a thread.

Owns the account and one order. When there is to be one, and what becomes of a failure, is decided by `renewing`.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import requests
from acme import client, crypto_util, errors, messages
from josepy.errors import Error as JoseError
from josepy.jwa import ES256
from josepy.jwk import JWK

from gateway import parse_date
from gateway_tls.acme.challenges import Unanswered
from gateway_tls.acme.keys import belongs_to, new_key
from gateway_tls.acme.settings import Acme
from gateway_tls.acme.storage import Storage

ANSWER_SECONDS = 30
"""For an answer of the server."""
ORDER_SECONDS = 180
"""For it to look at the hosts and to issue."""
LONGEST_WAIT_SECONDS = 8 * 86400.0
"""However long a server wants to be left alone: the limits of the known ones are for a week."""
_MOST_WORDS = 500

FAILURES = (errors.Error, JoseError, requests.RequestException, OSError, ValueError)
"""What may come of talking to a server."""


class Server:
    """A connection to the server."""

    def __init__(self, settings: Acme, key: JWK | None = None) -> None:
        """Ask it where its resources are. Raises FAILURES."""
        self._settings = settings
        self._key = key
        self.retry_at = 0.0
        """The moment before which the server wants no more requests, as it said last; 0 if it did not."""
        # The library passes this on to requests, which takes a path, too.
        verify = True if settings.ca is None else cast(bool, str(settings.ca))
        self._net = client.ClientNetwork(
            key, alg=ES256, verify_ssl=verify, user_agent="gateway-tls", timeout=ANSWER_SECONDS
        )
        self._net.session.hooks["response"].append(self._note)
        self._client: client.ClientV2 | None = None

    def _note(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """The library raises what the server says, without the header that says for how long (RFC 8555, 6.6)."""
        if response.status_code in (429, 503) and "Retry-After" in response.headers:
            self.retry_at = moment_of(response.headers["Retry-After"], time.time())

    @property
    def client(self) -> client.ClientV2:
        """The library's, which knows where the server has its resources."""
        if self._client is None:
            directory = client.ClientV2.get_directory(self._settings.directory, self._net)
            self._client = client.ClientV2(directory, self._net)
        return self._client

    def close(self) -> None:
        """Close the connections."""
        self._net.session.close()

    # -- the account -------------------------------------------------------------------------------------------

    def sign_in(self) -> None:
        """Find the account of our key, or open it."""
        assert self._key is not None
        binding = None
        if self._settings.eab is not None:
            given = self._settings.eab
            binding = messages.ExternalAccountBinding.from_data(
                self._key.public_key(), given.key_id, given.hmac.get_secret_value(), self.client.directory
            )
        wanted = messages.NewRegistration.from_data(
            email=self._settings.email or None, external_account_binding=binding, terms_of_service_agreed=True
        )
        try:
            self.client.new_account(wanted)
        except errors.ConflictError as known:
            body = messages.Registration()
            self._net.account = messages.RegistrationResource(uri=known.location, body=body)

    # -- an order ----------------------------------------------------------------------------------------------

    def order(self, show: Callable[[Mapping[str, str]], None]) -> bytes:
        """Key and certificate, in PEM form. `show` returns when all who may be asked know the answers."""
        assert self._key is not None
        key, kind = new_key(), self._settings.challenge
        order = self.client.new_order(crypto_util.make_csr(key, list(self._settings.domains)))
        unanswered = [
            Unanswered(authorization, kind, self._key)
            for authorization in order.authorizations
            if authorization.body.status != messages.STATUS_VALID  # known from an earlier order
        ]
        if unanswered:
            show({challenge.name: challenge.answer for challenge in unanswered})
        for challenge in unanswered:
            self.client.answer_challenge(challenge.body, challenge.response)
        deadline = datetime.datetime.now() + datetime.timedelta(seconds=ORDER_SECONDS)
        order = self.client.finalize_order(self.client.poll_authorizations(order, deadline), deadline)
        chain = order.fullchain_pem.encode()
        if not belongs_to(key, chain):
            raise errors.Error("the server has sent a certificate that belongs to another key")
        return key + chain

    def suggested_renewal(self, certificate: bytes) -> tuple[float, float]:
        """When the server would have a certificate renewed (RFC 9773), 0 if it does not say; when to ask again."""
        try:
            moment, again = self.client.renewal_time(certificate)
        except errors.ARIError as error:
            return 0.0, error.retry_after.timestamp()
        return moment.timestamp() if moment is not None else 0.0, again.timestamp()


def moment_of(retry_after: str, now: float) -> float:
    """What a Retry-After says, in seconds since the epoch; 0 for one that says nothing (RFC 9110, 10.2.3)."""
    latest = now + LONGEST_WAIT_SECONDS
    if retry_after.isascii() and retry_after.isdigit():
        return min(now + float(retry_after), latest)
    return min(parse_date(retry_after.encode("latin-1", "replace")) or 0.0, latest)


def account_key(storage: Storage) -> JWK:
    """The key of our account, which is made if it is not there yet."""
    pem = storage.account_key()
    if pem is None:
        pem = new_key()
        storage.save_account_key(pem)
    return JWK.load(pem)


def words_of(error: BaseException, directory: str) -> str:
    """What went wrong, in the server's own words where it has said some (RFC 8555, 6.7)."""
    words = " ".join(_words(error, directory).split())[:_MOST_WORDS]
    return "".join(char if char.isprintable() else "?" for char in words)


def _words(error: BaseException, directory: str) -> str:
    match error:
        case messages.Error():
            parts = [error.detail or error.title or error.typ]
            parts += [_words(each, directory) for each in error.subproblems or ()]
            host = f"{error.identifier.value}: " if error.identifier else ""
            return host + "; ".join(parts)
        case errors.IssuanceError():
            return _words(error.error, directory)
        case errors.ValidationError():
            return "; ".join(_refused(each) for each in error.failed_authzrs)
        case errors.TimeoutError():
            return f"the server has not decided within {ORDER_SECONDS} s"
        case errors.ClientError(args=(requests.Response() as response, *_)):
            return f"{response.url} answered with status {response.status_code}"
        case requests.RequestException():
            return f"{directory} cannot be reached: {_first_cause(error)}"
        case _:
            return str(error) or repr(error)


def _refused(authorization: messages.AuthorizationResource) -> str:
    host = authorization.body.identifier.value
    said = [_words(body.error, "") for body in authorization.body.challenges if body.error is not None]
    return f"{host}: {', '.join(said)}"


def _first_cause(error: BaseException) -> BaseException:
    """What the system said, without what each library between has put around it."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return error
