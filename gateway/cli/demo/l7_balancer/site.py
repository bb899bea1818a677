"""The site file of this demo's gateway, as it is at first and with a canary."""

from __future__ import annotations

from collections.abc import Sequence

UPSTREAM = "app"

_SITE = """\
profile = "l7-balancer"
workers = 2

[[listeners]]
bind = "{listen}"

[plugins.persistence]                   # a cookie keeps each visitor at one endpoint
method = "cookie"

[defaults.upstream.health]              # asked twice a second whether they are well
path     = "/healthz"
interval = "500ms"
fall     = 2
passive  = {{ ejection = "2s" }}

[upstreams.app]
endpoints = [{stable}]

[upstreams.next]
endpoints = [{canary}]

[[routes]]
{route}
"""

_PLAIN_ROUTE = 'upstream = "app"'
CANARY_ROUTE = 'split  = { app = 75, next = 25 }\nsticky = "cookie:visitor"'


def site_file(listen: str, stable: Sequence[str], canary: Sequence[str]) -> str:
    """The whole file, as it is at first. Endpoints are `HOST:PORT`."""
    return _SITE.format(listen=listen, stable=_urls(stable), canary=_urls(canary), route=_PLAIN_ROUTE)


def with_canary(site: str) -> str:
    """The file with a route that sends a quarter of everybody to the canary."""
    return site.replace(_PLAIN_ROUTE, CANARY_ROUTE)


def _urls(addresses: Sequence[str]) -> str:
    return ", ".join(f'"http://{address}"' for address in addresses)
