"""nginx as a reverse proxy: over plain HTTP or TLS, as a balancer, or asking a decider."""

from __future__ import annotations

import sys

from perf.lab import HERE, Lab, Server, free_port, nginx_argv, user_directive
from perf.model import Check, Contender

TLS = """ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:tls:10m;"""


REQUEST_ID = """proxy_set_header X-Request-ID $request_id;
        add_header X-Request-ID $request_id always;"""


def nginx(*, endpoints: int = 1, tls: bool = False, balancer: bool = False) -> Contender:
    """A plain reverse proxy; as a `balancer` it does what the profile l7-balancer does."""

    def launch(lab: Lab) -> Server:
        return _start(lab, endpoints=endpoints, tls=tls, balancer=balancer)

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


def _start(lab: Lab, *, endpoints: int = 1, tls: bool = False, balancer: bool = False, decider: int = 0) -> Server:
    port = free_port()
    cert, key = lab.certificate() if tls else ("", "")
    conf = lab.fill(
        "nginx.conf",
        USER=user_directive(),
        NAME=f"nginx-{port}",
        LISTEN=f"127.0.0.1:{port}{' ssl' if tls else ''} backlog=4096",
        TLS=TLS.format(cert=cert, key=key) if tls else "",
        SERVERS=" ".join(f"server 127.0.0.1:{p};" for p in lab.origin_ports[:endpoints]),
        ACCESS_LOG=f"{lab.dir}/nginx-{port}.access json buffer=64k flush=1s" if balancer else "off",
        BALANCER="least_conn;" if balancer else "",
        REQUEST_ID=REQUEST_ID if balancer else "",
        DECIDE="auth_request /_decide;" if decider else "",
        DECIDER=decider or 9,
    )
    process = lab.run(f"nginx-{port}", nginx_argv(lab, conf))
    return Server(f"{'https' if tls else 'http'}://127.0.0.1:{port}", (process,))
