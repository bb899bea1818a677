"""Templates of the headers plugin: a template is refused with a ValueError, and a client's words end no header."""

from __future__ import annotations

from fuzz_exchange import proxied
from fuzz_input import fields, lines
from gateway_headers.template import ON_RESPONSE, compile_template

from gateway.headers import value_bytes


def check(data: bytes) -> None:
    template, target, host, rest = lines(data, 4)
    exchange = proxied(target, None, host, fields(rest))
    exchange.id = rest.decode("latin-1")
    try:
        made = compile_template(template.decode("utf-8", "replace"), ON_RESPONSE)
    except ValueError:
        return
    value_bytes(made if isinstance(made, bytes) else made(exchange))
