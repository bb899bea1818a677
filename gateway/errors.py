"""The error tree: whose fault it is, what the client gets, and whether another try makes sense.

Owns statuses and messages, and what counts as a failure of a plugin. Does not know how an error becomes a response
(`gateway.error_pages`).
"""

from __future__ import annotations

import asyncio
from typing import ClassVar


class GatewayError(Exception):
    """A failure with a side, a status for the client and a word on whether another try makes sense."""

    status: int = 500
    side: ClassVar[str] = "gateway"
    asked: str = ""
    """The upstream that a plugin has asked about the exchange, if it is that which failed."""
    is_retryable: ClassVar[bool] = False
    """True if no byte of a response was seen, so another attempt can still answer the client."""


class ConfigurationError(GatewayError):
    """The configuration cannot be used: the message names the file, the key path and the mend."""


class PluginError(GatewayError):
    """A plugin broke its contract or raised while it answered for an exchange (fails closed)."""


class ShuttingDown(GatewayError):
    """The gateway, or this worker of it, stops, and the time for what is under way is over (`drain_timeout`)."""

    status = 503

    def __init__(self) -> None:
        super().__init__("cut at the deadline of a drain")


class ClientError(GatewayError):
    """The client sent something that no gateway may pass on."""

    status = 400
    side = "client"

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ClientDisconnected(ClientError):
    """The client left before the response was complete; nobody is there to be answered."""

    def __init__(self, message: str = "the client left") -> None:
        super().__init__(message, status=499)


class BodyBroken(ClientError):
    """The request body ended early or its framing is broken: the client left, or sent what is no HTTP."""

    def __init__(self) -> None:
        super().__init__("the request body ended early or its framing is broken")


class MethodNotAllowed(ClientError):
    """A method that this gateway serves nowhere (RFC 9110 15.5.6)."""

    def __init__(self, method: str) -> None:
        super().__init__(f"method {method} is not served", status=405)


class BodyTooLarge(ClientError):
    """The request body is larger than `limits.max_body`, or than a plugin reads (RFC 9110 15.5.14)."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"request body over the limit of {max_bytes} bytes", status=413)


class BodyTimeout(ClientError):
    """The client sent no further byte of its body in time (RFC 9110 15.5.9)."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no progress of the request body within {seconds:g} s", status=408)


class BodyTooSlow(ClientError):
    """The request body comes slower than it has to, or takes too long in all (RFC 9110 15.5.9)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=408)


class ClientStalled(ClientError):
    """The client takes nothing of the response; nobody is there to be answered."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the client took nothing for {seconds:g} s", status=499)


class NoRoute(ClientError):
    """No route matches the request."""

    def __init__(self) -> None:
        super().__init__("no route matches", status=404)


class UpstreamError(GatewayError):
    """The upstream side failed."""

    status = 502
    side = "upstream"
    condition: ClassVar[str] = ""
    """What `retries.on` of an upstream calls it."""


class NoEndpoint(UpstreamError):
    """No endpoint of the upstream is available, or all of them are at their limits."""

    status = 503


class Overloaded(NoEndpoint):
    """As much is under way as may be: at the upstream (`max_in_flight`) or an endpoint (`pool.max_connections`)."""


class ConnectFailed(UpstreamError):
    """No connection to the endpoint came about: refused, unreachable, or TLS failed."""

    is_retryable = True


class ConnectTimeout(ConnectFailed):
    """The endpoint did not accept the connection in time."""

    status = 504


class StaleConnection(UpstreamError):
    """A kept connection was closed by the endpoint before a byte of the response (RFC 9112 9.3.1)."""

    is_retryable = True
    condition = "closed"


class UpstreamClosed(UpstreamError):
    """A fresh connection was closed by the endpoint before a byte of the response."""

    is_retryable = True
    condition = "closed"


class UpstreamTimeout(UpstreamError):
    """The endpoint accepted the connection but sent no response head in time; it may still be at work."""

    status = 504
    condition = "timeout"


class BadResponse(UpstreamError):
    """What the endpoint sent is not an HTTP response that may be passed on."""

    condition = "invalid"


class ResponseCut(UpstreamError):
    """The endpoint ended or stalled within the body: the client's response is cut, too."""


class ExchangeTimeout(UpstreamError):
    """The exchange as a whole took longer than `timeouts.total`."""

    status = 504


FAILURES = (Exception, asyncio.CancelledError, SystemExit)
"""What the code of a plugin may raise and must not end anything but its own call; see `is_cancelled`."""


def is_cancelled(error: BaseException) -> bool:
    """Whether an error ends the task that runs here because somebody wants that: a deadline, a drain.

    A plugin that waits for something which was cancelled raises the same, and that is a failure of the plugin.
    """
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
