"""The public API of plugin authors."""

from gateway.body import OpenBody, WholeBody
from gateway.config.model import EndpointSettings
from gateway.config.types import Duration, FilePath, KeyPrefix, Network, PluginConfig, Secret, Size
from gateway.connection import ClientHello, Connection, Deny, TLSSession
from gateway.error_pages import error_response
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
from gateway.handshakes import HandshakeRefused, ServerContext
from gateway.headers import Headers, folded_name
from gateway.hooks import API_VERSION, hookimpl
from gateway.metrics import Metrics
from gateway.model import Attempt, Exchange, Request, Response, new_id
from gateway.pem import InMemory, UnfitPair, load_pair
from gateway.registry import Registry
from gateway.semantics import (
    ByteRange,
    Condition,
    Unsatisfiable,
    accepted_codings,
    choose_coding,
    condition,
    format_date,
    if_range_holds,
    is_same_weakly,
    parse_date,
    parse_ranges,
    ranged,
)
from gateway.state import StateKey
from gateway.watching import look_at, watch_files

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
    "ByteRange",
    "ClientError",
    "ClientHello",
    "Condition",
    "ConfigurationError",
    "ConnectFailed",
    "Connection",
    "Deny",
    "Duration",
    "Endpoint",
    "EndpointSettings",
    "EndpointState",
    "Exchange",
    "FileBody",
    "FilePath",
    "GatewayError",
    "HandshakeRefused",
    "Headers",
    "InMemory",
    "KeyPrefix",
    "Metrics",
    "Network",
    "NoEndpoint",
    "OpenBody",
    "OpenFile",
    "PluginConfig",
    "PluginError",
    "Registry",
    "Request",
    "Response",
    "ResponseCut",
    "Secret",
    "ServerContext",
    "Size",
    "StateKey",
    "TLSSession",
    "UnfitPair",
    "Unsatisfiable",
    "Upstream",
    "UpstreamClosed",
    "UpstreamError",
    "UpstreamTimeout",
    "WholeBody",
    "accepted_codings",
    "choose_coding",
    "client_context",
    "condition",
    "error_response",
    "folded_name",
    "format_date",
    "hookimpl",
    "if_range_holds",
    "is_same_weakly",
    "load_pair",
    "look_at",
    "new_id",
    "parse_date",
    "parse_ranges",
    "ranged",
    "watch_files",
]
