"""The site file of this demo's gateway."""

from __future__ import annotations

from pathlib import Path

_SITE = """\
profile = "reverse-proxy"
workers = 1                             # each has a cache of its own

[[listeners]]
bind = "{listen}"

[plugins.static]                        # what is not in the folder is asked of the origin
root    = "{public}"
missing = "pass"
cache   = {{ "*" = "public, max-age=3600" }}

[upstreams.app]
endpoints = ["http://{origin}"]
health    = {{ path = "/healthz", interval = "500ms", rise = 1, fall = 1 }}
"""


def site_file(listen: str, public: Path, origin: str) -> str:
    """The whole file; `origin` is `HOST:PORT`."""
    return _SITE.format(listen=listen, public=public, origin=origin)
