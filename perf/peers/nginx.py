"""nginx as a reverse proxy: over plain HTTP or TLS, as a balancer, or asking a decider."""

from __future__ import annotations

import sys

from perf.lab import HERE, Lab, Server, free_port, nginx_argv, user_directive
from perf.model import Check, Contender, Routes

TLS = """ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:tls:10m;"""

LEAST_CONN = "least_conn"
BY_SESSION = "hash $cookie_sid"
"""What nginx without subscription has instead of sessions: the client brings a cookie, and its hash decides."""

REQUEST_ID = """proxy_set_header X-Request-ID $request_id;
        add_header X-Request-ID $request_id always;"""


CACHE = """proxy_cache_path {dir} levels=1:2 keys_zone=cache:16m max_size=64m;
    proxy_cache cache;
    proxy_cache_lock on;
    add_header Cache-Status $upstream_cache_status always;"""

GZIP = """gzip on;
    gzip_comp_level {level};
    gzip_types application/json;
    gzip_min_length 1k;
    gzip_vary on;"""

FILES = """location /assets/ {{
            root {root};
            types {{ text/css css; }}
            default_type application/octet-stream;
            sendfile on;
            # A look at the disk holds for a second, as with the gateway.
            open_file_cache max=1000;
            open_file_cache_valid 1s;
        }}"""


def nginx(
    *,
    endpoints: int = 1,
    tls: bool = False,
    balancer: str = "",
    routes: Routes = (),
    cache: bool = False,
    gzip_level: int = 0,
    files: bool = False,
) -> Contender:
    """A plain reverse proxy; with the directive of a `balancer` it does what the profile l7-balancer does.

    A `gzip_level` of 0 is none; `files` are the lab's, before the endpoints.
    """

    def launch(lab: Lab) -> Server:
        return _start(
            lab,
            endpoints=endpoints,
            tls=tls,
            balancer=balancer,
            routes=routes,
            cache=cache,
            gzip_level=gzip_level,
            files=files,
        )

    return Contender("nginx", "nginx", launch)


def nginx_auth_request() -> Contender:
    """nginx that asks a Python service about every request. Both are counted."""

    def launch(lab: Lab) -> Server:
        port = free_port()
        # fmt: off
        argv = [
            sys.executable, "-m", "granian", "--interface", "asginl", "--loop", "uvloop", "--workers", "1",
            "--host", "127.0.0.1", "--port", str(port), "--http", "1", "--no-ws", "--no-access-log",
            "--log-level", "error", "--working-dir", str(HERE / "peers"), "decider:app",
        ]
        # fmt: on
        decider = lab.run("decider", argv, env={"PYTHONDONTWRITEBYTECODE": "1"})
        lab.wait(f"http://127.0.0.1:{port}", "granian", Check(status=403))
        proxy = _start(lab, decider=port)
        return Server(proxy.url, (*proxy.processes, decider))

    return Contender("nginx + auth_request", "nginx", launch, note="to a Granian ASGI app; both counted")


def _start(
    lab: Lab,
    *,
    endpoints: int = 1,
    tls: bool = False,
    balancer: str = "",
    routes: Routes = (),
    cache: bool = False,
    gzip_level: int = 0,
    files: bool = False,
    decider: int = 0,
) -> Server:
    port = free_port()
    cert, key = lab.certificate() if tls else ("", "")
    conf = lab.fill(
        "nginx.conf",
        USER=user_directive(),
        NAME=f"nginx-{port}",
        LISTEN=f"127.0.0.1:{port}{' ssl' if tls else ''} backlog=4096",
        TLS=TLS.format(cert=cert, key=key) if tls else "",
        SERVERS=" ".join(f"server {address};" for address in lab.origins[:endpoints]),
        ACCESS_LOG=f"{lab.dir}/nginx-{port}.access json buffer=64k flush=1s" if balancer else "off",
        BALANCER=f"{balancer};" if balancer else "",
        REQUEST_ID=REQUEST_ID if balancer else "",
        CACHE=CACHE.format(dir=lab.dir / f"nginx-{port}-cache") if cache else "",
        GZIP=GZIP.format(level=gzip_level) if gzip_level else "",
        FILES=FILES.format(root=lab.files) if files else "",
        DECIDE="auth_request /_decide;" if decider else "",
        DECIDER=decider or 9,
        NAMES=_server_name(routes[0]) if routes else "",
        MORE=_servers(port, routes[1:]),
        LOCATIONS=_locations(routes[0][1]) if routes else "",
    )
    process = lab.run(f"nginx-{port}", nginx_argv(lab, conf))
    return Server(f"{'https' if tls else 'http'}://127.0.0.1:{port}", (process,))


def _servers(port: int, routes: Routes) -> str:
    """A server for each further host; all have the proxy's settings in common."""
    return "\n    ".join(
        f"server {{ listen 127.0.0.1:{port}; {_server_name(route)} {_locations(route[1])} }}" for route in routes
    )


def _server_name(route: tuple[str, tuple[str, ...]]) -> str:
    return f"server_name {route[0]};"


def _locations(paths: tuple[str, ...]) -> str:
    return " ".join(f"location {path} {{ proxy_pass http://app; }}" for path in paths)
