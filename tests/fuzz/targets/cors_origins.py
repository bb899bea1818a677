"""Origin: only those named are told that they may read, in a preflight and in a response."""

from __future__ import annotations

import re
from types import SimpleNamespace

from fuzz_input import fields, lines
from gateway_security.cors import Cors

from gateway.headers import Headers
from gateway.model import Exchange, Request, Response

NAMED = ["https://app.example.com", "https://*.example.org", "~https://pr-[0-9]+[.]example[.]com"]
PLUGIN = Cors(Cors.Config.model_validate({"origins": NAMED, "credentials": True, "headers": ["*"]}))
ALLOWED = re.compile(rb"https://(app\.example\.com|([a-z0-9_-]+\.)+example\.org|pr-[0-9]+\.example\.com)").fullmatch
APP = SimpleNamespace(has_trusted_proxies=False)


def check(data: bytes) -> None:
    method, rest = lines(data, 2)
    asked = Headers.adopt(fields(rest))
    exchange = Exchange(APP, Request(method.decode("latin-1"), "/", asked))
    preflight = PLUGIN.on_request(exchange)
    response = Response(200, {"access-control-allow-origin": "*"})
    PLUGIN.on_response(exchange, response)
    for answer in filter(None, (preflight, response)):
        told = answer.headers.get_all("access-control-allow-origin")
        assert len(told) <= 1
        assert not told or (ALLOWED(told[0]) and told[0] == asked.get("origin"))
        assert bool(told) == bool(ALLOWED(asked.get("origin", b"")))
        Headers(answer.headers.raw)  # names and values are such
