"""The settings of `headers`: which names and values may stand in them.

Owns the checks, so that a mistake is found at load and named by its key.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from gateway import Headers, PluginConfig
from gateway_headers.template import ON_REQUEST, ON_RESPONSE, compile_template

THE_GATEWAYS_OWN = frozenset(
    (
        "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
        "upgrade",
    )
)  # fmt: skip
"""Framing and this hop's connection: a change here would break the message, not describe it."""


def _check_name(value: str) -> str:
    Headers().add(value, "")
    if value.lower() in THE_GATEWAYS_OWN:
        raise ValueError(f"{value} is the gateway's own: it frames the message or speaks of this hop only")
    return value.lower()


def _check_request_name(value: str) -> str:
    if value.lower() == "host":
        raise ValueError("the Host that endpoints see is a setting of the upstream: upstreams.NAME.host")
    return _check_name(value)


def _check_request_value(value: str) -> str:
    compile_template(value, ON_REQUEST)
    return value


def _check_response_value(value: str) -> str:
    compile_template(value, ON_RESPONSE)
    return value


def _as_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


RequestName = Annotated[str, AfterValidator(_check_request_name)]
ResponseName = Annotated[str, AfterValidator(_check_name)]
RequestValue = Annotated[str, AfterValidator(_check_request_value)]
ResponseValue = Annotated[str, AfterValidator(_check_response_value)]


class RequestChanges(PluginConfig):
    """Changes to what the endpoint gets."""

    set: dict[RequestName, RequestValue] = {}
    """Headers to set, in the place of those that are there: name = value."""
    add: dict[RequestName, Annotated[tuple[RequestValue, ...], BeforeValidator(_as_list)]] = {}
    """Headers to add to those that are there: name = value, or a list of values."""
    remove: tuple[RequestName, ...] = ()
    """Headers to take away."""


class ResponseChanges(PluginConfig):
    """Changes to what the client gets."""

    set: dict[ResponseName, ResponseValue] = {}
    """Headers to set, in the place of those that are there: name = value."""
    add: dict[ResponseName, Annotated[tuple[ResponseValue, ...], BeforeValidator(_as_list)]] = {}
    """Headers to add to those that are there: name = value, or a list of values."""
    remove: tuple[ResponseName, ...] = ()
    """Headers to take away."""
