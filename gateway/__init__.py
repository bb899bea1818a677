"""The public API of plugin authors."""

from gateway.config.model import EndpointSettings
from gateway.config.types import Duration, FilePath, PluginConfig, Secret, Size
from gateway.errors import (
    BadResponse,
    ClientError,
    ConfigurationError,
    ConnectFailed,
    GatewayError,
    NoEndpoint,
    PluginError,
    ResponseCut,
    UpstreamClosed,
    UpstreamError,
    UpstreamTimeout,
)
from gateway.file_body import FileBody, OpenFile
from gateway.headers import Headers
from gateway.hooks import API_VERSION, hookimpl
from gateway.metrics import Metrics
from gateway.model import Attempt, Exchange, Request, Response, StateKey, new_id
from gateway.registry import Registry
from gateway.semantics.codings import choose_coding

from gateway.app import App  # isort: skip  # last: it stands on all the others
from gateway.upstream.balancer import Balancer
from gateway.upstream.endpoint import Endpoint, EndpointState
from gateway.upstream.group import Upstream
from gateway.upstream.tls import client_context

__all__ = [
    "API_VERSION",
    "App",
    "Attempt",
    "BadResponse",
    "Balancer",
    "ClientError",
    "ConfigurationError",
    "ConnectFailed",
    "Duration",
    "Endpoint",
    "EndpointSettings",
    "EndpointState",
    "Exchange",
    "FileBody",
    "FilePath",
    "GatewayError",
    "Headers",
    "Metrics",
    "NoEndpoint",
    "OpenFile",
    "PluginConfig",
    "PluginError",
    "Registry",
    "Request",
    "Response",
    "ResponseCut",
    "Secret",
    "Size",
    "StateKey",
    "Upstream",
    "UpstreamClosed",
    "UpstreamError",
    "UpstreamTimeout",
    "choose_coding",
    "client_context",
    "hookimpl",
    "new_id",
]
