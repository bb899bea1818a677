"""Envoy as a reverse proxy over plain HTTP."""

from __future__ import annotations

import json
from pathlib import Path

from perf import tools
from perf.lab import Lab, Server, free_port
from perf.model import Contender, Routes

EVERYTHING: Routes = (("*", ("/",)),)
RETRIES = {"retry_on": "connect-failure,refused-stream,reset", "num_retries": 2}
FIELDS = {
    "time": "%START_TIME%",
    "id": "%REQ(X-REQUEST-ID)%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "method": "%REQ(:METHOD)%",
    "host": "%REQ(:AUTHORITY)%",
    "target": "%REQ(:PATH)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "duration_ms": "%DURATION%",
    "route": "%ROUTE_NAME%",
    "endpoint": "%UPSTREAM_HOST%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "upstream_ms": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "referer": "%REQ(REFERER)%",
    "error": "%RESPONSE_FLAGS%",
}
"""Those of the gateway's own line."""


_TYPES = "type.googleapis.com/envoy.extensions"
SESSIONS = {
    "name": "envoy.filters.http.stateful_session",
    "typed_config": {
        "@type": f"{_TYPES}.filters.http.stateful_session.v3.StatefulSession",
        "session_state": {
            "name": "envoy.http.stateful_session.cookie",
            "typed_config": {
                "@type": f"{_TYPES}.http.stateful_session.cookie.v3.CookieBasedSessionState",
                "cookie": {"name": "lb", "path": "/", "ttl": "28800s"},
            },
        },
    },
}
CHECK = {
    "interval": "1s",
    "timeout": "2s",
    "unhealthy_threshold": 3,
    "healthy_threshold": 2,
    "http_health_check": {"path": "/"},
}


def envoy(*, endpoints: int = 1, balancer: bool = False, sessions: bool = False, routes: Routes = ()) -> Contender:
    """One worker thread, no admin port, no tracing; as a `balancer` it does what l7-balancer does."""

    def launch(lab: Lab) -> Server:
        port = free_port()
        conf = lab.fill(
            "envoy.json",
            PORT=port,
            ENDPOINTS=json.dumps([_endpoint(address) for address in lab.origins[:endpoints]]),
            ACCESS_LOG=json.dumps([_access_log(str(lab.dir / "envoy.access"))] if balancer else []),
            REQUEST_ID=json.dumps(balancer),
            VIRTUAL_HOSTS=json.dumps(_virtual_hosts(routes or EVERYTHING, balancer)),
            SESSIONS=f"{json.dumps(SESSIONS)}," if sessions else "",
            HEALTH=_health(balancer, sessions),
            BALANCE="LEAST_REQUEST" if balancer else "ROUND_ROBIN",
        )
        argv: list[str | Path] = [
            tools.find("envoy"),
            "-c",
            conf,
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "-l",
            "error",
        ]
        process = lab.run("envoy", argv)
        return Server(f"http://127.0.0.1:{port}", (process,))

    return Contender("envoy", "envoy", launch)


def _virtual_hosts(routes: Routes, balancer: bool) -> list[dict[str, object]]:
    action: dict[str, object] = {"cluster": "app", "append_x_forwarded_host": True}
    if balancer:
        action["retry_policy"] = RETRIES
    return [
        {
            "name": host,
            "domains": [host],
            "routes": [{"match": {"prefix": path}, "route": action} for path in paths],
        }
        for host, paths in routes
    ]


def _endpoint(place: str) -> dict[str, object]:
    host, _, port = place.partition(":")
    address = {"socket_address": {"address": host, "port_value": int(port)}}
    return {"endpoint": {"address": address}}


def _health(balancer: bool, sessions: bool) -> str:
    """Settings of a cluster: endpoints that fail are ejected, and checked if there are sessions."""
    ejects = '"outlier_detection": {}, ' if balancer else ""
    checks = f'"health_checks": [{json.dumps(CHECK)}], ' if sessions else ""
    return ejects + checks


def _access_log(path: str) -> dict[str, object]:
    kind = f"{_TYPES}.access_loggers.file.v3.FileAccessLog"
    line = {"log_format": {"json_format": FIELDS}}
    return {"name": "envoy.access_loggers.file", "typed_config": {"@type": kind, "path": path, **line}}
