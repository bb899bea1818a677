"""nginx as a reverse proxy: over plain HTTP or TLS, with or without an access log, or asking a decider."""

from __future__ import annotations

import sys

from perf.lab import HERE, Lab, Server, free_port, nginx_argv, user_directive
from perf.model import Check, Contender

TLS = """ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:tls:10m;"""


def nginx(*, endpoints: int = 1, tls: bool = False, log: bool = False) -> Contender:
    """A plain reverse proxy."""

    def launch(lab: Lab) -> Server:
        return _start(lab, endpoints=endpoints, tls=tls, log=log)

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


def _start(lab: Lab, *, endpoints: int = 1, tls: bool = False, log: bool = False, decider: int = 0) -> Server:
    port = free_port()
    cert, key = lab.certificate() if tls else ("", "")
    conf = lab.fill(
        "nginx.conf",
        USER=user_directive(),
        NAME=f"nginx-{port}",
        LISTEN=f"127.0.0.1:{port}{' ssl' if tls else ''} backlog=4096",
        TLS=TLS.format(cert=cert, key=key) if tls else "",
        SERVERS=" ".join(f"server 127.0.0.1:{p};" for p in lab.origin_ports[:endpoints]),
        ACCESS_LOG=f"{lab.dir}/nginx-{port}.access combined buffer=64k flush=1s" if log else "off",
        DECIDE="auth_request /_decide;" if decider else "",
        DECIDER=decider or 9,
    )
    process = lab.run(f"nginx-{port}", nginx_argv(lab, conf))
    return Server(f"{'https' if tls else 'http'}://127.0.0.1:{port}", (process,))
