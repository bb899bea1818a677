"""The checks on every request: it is refused with a status of 4xx or 501, or its host and length are plain."""

from __future__ import annotations

import re

from fuzz_input import fields, lines

from gateway.admission import Bounds
from gateway.admission import check as admit
from gateway.config.model import Limits
from gateway.errors import ClientError
from gateway.headers import Headers
from gateway.model import Request

BOUNDS = Bounds(Limits())
HOST = re.compile(r"[a-z0-9!$&'()*+,;=._~%-]+|\[[0-9a-f:.]+\]").fullmatch


def check(data: bytes) -> None:
    method, target, version, rest = lines(data, 4)
    request = Request(method.decode("latin-1"), target, Headers.adopt(fields(rest)))
    request.http_version = version.decode("latin-1")
    try:
        known = admit(request, BOUNDS)
    except ClientError as error:
        assert 400 <= error.status < 500 or error.status == 501
        return
    assert HOST(request.host) or (not request.host and version == b"1.0")
    assert request.raw_path.startswith(b"/") or (request.raw_path, method) == (b"*", b"OPTIONS")
    assert len(request.headers.get_all("host")) <= 1
    if b"transfer-encoding" not in known:
        assert 0 <= int(known.get(b"content-length", b"0")) <= BOUNDS.max_body
