"""The gateway itself, in the configurations that scenarios ask for: one site file each."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import EntryPoint, entry_points

from perf import tools
from perf.lab import HERE, Lab, Server, free_port
from perf.model import SUBJECT, Contender, Routes, Unavailable

SESSIONS = 'plugins.persistence = { method = "cookie", secret = "the benchmark\'s own secret" }'

FILES = 'plugins.static = {{ root = "{root}", missing = "pass" }}'


def gateway(
    label: str = SUBJECT,
    *,
    profile: str = "",
    plugins: tuple[str, ...] = (),
    endpoints: int = 1,
    tls: bool = False,
    by_name: bool = False,
    routes: Routes = (),
    sessions: bool = False,
    files: bool = False,
    repeats: int = 1,
    note: str = "",
) -> Contender:
    """One worker. `plugins` are written as the site file has them: names quoted, tables as tables.

    With `by_name` the certificate is one of several that are chosen by name, which takes an edge listener.
    `files` are the lab's, before the endpoints; they need a profile that knows `static`.
    """

    def launch(lab: Lab) -> Server:
        if profile:
            _find("gateway.profiles", profile, "profile")
        port = free_port()
        folder = lab.dir / f"gateway-{port}"
        shutil.copytree(HERE / "hooks", folder, ignore=shutil.ignore_patterns("__pycache__"))
        lines = [
            f"profile = {json.dumps(profile)}" if profile else "",
            f"plugins = [{', '.join(plugins)}]" if plugins else "",
            "workers = 1",
            f'admin_socket = "{folder}/admin.sock"',
            SESSIONS if sessions else "",
            FILES.format(root=lab.files) if files else "",
            "[[listeners]]",
            f'bind = "127.0.0.1:{port}"',
            _tls(lab, by_name) if tls else "",
            "[upstreams.app]",
            f"endpoints = {json.dumps([f'http://{address}' for address in lab.origins[:endpoints]])}",
            'health = { path = "/", interval = "1s" }' if sessions else "",
            *(_route(host, path) for host, paths in routes for path in paths),
        ]
        site = folder / "site.toml"
        site.write_text("\n".join(line for line in lines if line) + "\n")
        process = lab.run(f"gateway-{port}", [tools.find("gateway"), "run", site])
        return Server(f"{'https' if tls else 'http'}://127.0.0.1:{port}", (process,))

    return Contender(label, SUBJECT, launch, repeats, note)


def _route(host: str, path: str) -> str:
    return f'[[routes]]\nmatch = {{ host = "{host}", path = "{path}" }}\nupstream = "app"'


def with_plugin(name: str, config: str = "") -> Contender:
    """The bare gateway and one installed plugin; `config` is the inside of its table."""

    def launch(lab: Lab) -> Server:
        _find("gateway.plugins", name, "plugin")
        use = f'{{ use = "{name}", {config} }}' if config else f'"{name}"'
        return gateway(plugins=(use,)).launch(lab)

    return Contender(f"+ {name}", SUBJECT, launch)


def _find(group: str, name: str, kind: str) -> EntryPoint:
    found = entry_points(group=group, name=name)
    if not found:
        raise Unavailable(f"the {kind} {name} is not installed")
    return next(iter(found))


def _tls(lab: Lab, by_name: bool) -> str:
    cert, key = lab.certificate()
    pair = f'{{ cert = "{cert}", key = "{key}" }}'
    return f"tls = {{ certificates = [{pair}] }}" if by_name else f"tls = {pair}"
