"""The public API of plugin authors."""

from gateway.config.types import Duration, FilePath, PluginConfig, Secret, Size
from gateway.errors import (
    ClientError,
    ConfigurationError,
    GatewayError,
    NoEndpoint,
    PluginError,
    UpstreamError,
)
from gateway.headers import Headers
from gateway.hooks import API_VERSION, hookimpl
from gateway.model import Attempt, Exchange, Request, Response, StateKey, new_id
from gateway.registry import Registry

from gateway.app import App  # isort: skip  # last: it stands on all the others
from gateway.upstream.balancer import Balancer
from gateway.upstream.endpoint import Endpoint, EndpointState
from gateway.upstream.group import Upstream

__all__ = [
    "API_VERSION",
    "App",
    "Attempt",
    "Balancer",
    "ClientError",
    "ConfigurationError",
    "Duration",
    "Endpoint",
    "EndpointState",
    "Exchange",
    "FilePath",
    "GatewayError",
    "Headers",
    "NoEndpoint",
    "PluginConfig",
    "PluginError",
    "Registry",
    "Request",
    "Response",
    "Secret",
    "Size",
    "StateKey",
    "Upstream",
    "UpstreamError",
    "hookimpl",
    "new_id",
]
