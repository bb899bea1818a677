"""HAProxy as a reverse proxy."""

from __future__ import annotations

from perf import tools
from perf.lab import Lab, Server, free_port
from perf.model import Contender

# The fields of the gateway's own line, as far as there are such variables.
LOG = (
    "log stdout format raw local0 info\n    log-format '{"
    '"time":%{+Q}T,"id":%{+Q}ID,"client":%{+Q}ci,"method":%{+Q}HM,"target":%{+Q}HU,"protocol":%{+Q}HV,'
    '"status":%ST,"bytes_in":%U,"bytes_out":%B,"duration_ms":%Ta,"route":%{+Q}b,"endpoint":%{+Q}s,'
    '"retries":%rc,"upstream_ms":%Tr}\''
)
REQUEST_ID = """unique-id-format %[uuid()]
    http-request set-header X-Request-ID %[unique-id]
    http-response set-header X-Request-ID %[unique-id]"""


SESSIONS = """cookie SRV insert indirect nocache
    option httpchk GET /
    default-server check inter 1s"""


def haproxy(*, endpoints: int = 1, balancer: bool = False, sessions: bool = False, tls: bool = False) -> Contender:
    """One thread, connections to the endpoints always reused; as a `balancer` it does what l7-balancer does."""

    def launch(lab: Lab) -> Server:
        port = free_port()
        servers = [
            f"server app{n} {address}{f' cookie app{n}' if sessions else ''}"
            for n, address in enumerate(lab.origins[:endpoints])
        ]
        conf = lab.fill(
            "haproxy.cfg",
            PORT=port,
            TLS=_tls(lab) if tls else "",
            SCHEME="https" if tls else "http",
            BALANCE="leastconn" if balancer else "roundrobin",
            LOG=LOG if balancer else "",
            REQUEST_ID=REQUEST_ID if balancer else "",
            SESSIONS=SESSIONS if sessions else "",
            SERVERS="\n    ".join(servers),
        )
        process = lab.run("haproxy", [tools.find("haproxy"), "-db", "-f", conf])
        return Server(f"{'https' if tls else 'http'}://127.0.0.1:{port}", (process,))

    return Contender("haproxy", "haproxy", launch)


def _tls(lab: Lab) -> str:
    """HAProxy wants certificate and key in one file."""
    both = lab.dir / "both.pem"
    both.write_text("".join(path.read_text() for path in lab.certificate()))
    return f"ssl crt {both} alpn http/1.1"
