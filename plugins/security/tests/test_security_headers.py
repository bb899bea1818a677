"""security-headers: what is added, what stays, and which values can be."""

from __future__ import annotations

import pytest
from gateway_security import SecurityHeaders
from pydantic import ValidationError

from gateway import Exchange, Request, Response
from gateway.pipeline import Pipeline
from gateway.testing import reply

DEFAULTS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
]
OFF = {"content_type_options": "", "frame_options": "", "referrer_policy": ""}


def added_to(fields: list[tuple[str, str]], **config: object) -> list[tuple[bytes, bytes]]:
    plugin = SecurityHeaders(SecurityHeaders.Config.model_validate(config))
    response = Response(200, fields)
    plugin.on_response(Exchange(None, Request()), response)
    return response.headers.raw


def test_three_fields_are_on_by_default():
    assert added_to([("a", "1")]) == [(b"a", b"1"), *DEFAULTS]


def test_what_the_application_says_itself_stays():
    fields = [("X-Frame-Options", "DENY"), ("a", "1")]
    assert added_to(fields) == [(b"x-frame-options", b"DENY"), (b"a", b"1"), DEFAULTS[0], DEFAULTS[2]]


def test_override_puts_ours_in_its_place():
    fields = [("X-Frame-Options", "ALLOWALL"), ("a", "1"), ("Referrer-Policy", "unsafe-url")]
    assert added_to(fields, override=True) == [(b"a", b"1"), *DEFAULTS]


def test_responses_do_not_grow_into_each_other():
    plugin = SecurityHeaders(SecurityHeaders.Config())
    for _ in range(2):
        response = Response(200, {"a": "1"})
        plugin.on_response(Exchange(None, Request()), response)
        response.headers.raw.append((b"b", b"2"))
        assert response.headers.raw == [(b"a", b"1"), *DEFAULTS, (b"b", b"2")]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("content_security_policy", "default-src 'self'; img-src *"),
        ("content_security_policy", "sandbox; default-src self.example"),
        ("content_security_policy_report_only", "default-src 'none'"),
        ("permissions_policy", 'camera=(), geolocation=(self "https://a.example"), usb=*'),
        ("referrer_policy", "no-referrer, strict-origin"),
        ("cross_origin_opener_policy", "same-origin"),
        ("cross_origin_embedder_policy", "require-corp"),
        ("cross_origin_resource_policy", "same-site"),
    ],
)
def test_each_field_has_a_setting(setting, value):
    assert added_to([], **{**OFF, setting: value}) == [(setting.replace("_", "-").encode(), value.encode())]


def test_a_policy_may_be_written_over_several_lines():
    (field,) = added_to([], **{**OFF, "content_security_policy": "\n  default-src 'self';\n  img-src *;\n"})
    assert field == (b"content-security-policy", b"default-src 'self'; img-src *;")


def test_with_every_setting_empty_it_costs_nothing():
    plugin = SecurityHeaders(SecurityHeaders.Config.model_validate(OFF))
    assert not any(Pipeline([("security-headers", plugin)]).steps.values())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"content_security_policy": "default-src self"}, "write 'self', with the quotes"),
        ({"content_security_policy": "script-src 'self' unsafe-inline;"}, "write 'unsafe-inline'"),
        ({"content_security_policy": "'self'"}, "expected directives"),
        ({"content_security_policy": "default-src ex\u00e4mple.org"}, "punycode"),
        ({"permissions_policy": "camera 'none'"}, "expected features"),
        ({"permissions_policy": "camera=()\x00"}, "holds CR, LF or NUL"),
        ({"referrer_policy": "never"}, "expected one of no-referrer"),
        ({"frame_options": "ALLOW-FROM https://a.example"}, "'DENY' or 'SAMEORIGIN'"),
        ({"hsts": True}, "unknown key 'hsts'"),
    ],
)
def test_what_cannot_be_is_refused_at_load(config, message):
    with pytest.raises(ValidationError, match=message):
        SecurityHeaders.Config.model_validate(config)


def test_every_response_of_a_gateway_has_them(gateway, origin):
    app = origin(reply(b"ok", b"X-Frame-Options: DENY"))
    site = gateway(
        upstreams={"app": {"endpoints": [app]}},
        routes=[{"match": {"path": "/app"}, "upstream": "app"}],
        plugins=["security-headers"],
    )
    own, found = site.get("/missing"), site.get("/app")
    assert (own.status, own.header("x-content-type-options"), own.header("x-frame-options")) == (
        404, b"nosniff", b"SAMEORIGIN"
    )  # fmt: skip
    assert (found.body, found.header_all("x-frame-options")) == (b"ok", [b"DENY"])
