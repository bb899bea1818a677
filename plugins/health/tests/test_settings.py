"""What can be set, and what is refused in words."""

from __future__ import annotations

import pytest
from gateway_health import Passive, Settings
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, "none"),
        ({"path": "/healthz"}, "http"),
        ({"check": "http"}, "http"),
        ({"check": "tcp", "path": "/healthz"}, "tcp"),
        ({"check": "none", "path": "/healthz"}, "none"),
        ({"check": "grpc"}, "grpc"),
    ],
)
def test_a_path_means_http_and_nothing_means_no_check(settings, kind):
    assert Settings(**settings).kind == kind


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"path": "healthz"}, 'expected a path such as "/healthz"'),
        ({"path": "/a b"}, "without blanks"),
        ({"path": "/a\r\nX: 1"}, "without blanks"),
        ({"method": "GET /"}, 'expected a method such as "GET"'),
        ({"method": "CONNECT"}, 'expected a method such as "GET"'),
        ({"host": "a b"}, "expected a host"),
        ({"headers": {"x y": "1"}}, "is not a token"),
        ({"headers": {"x": "1\r\ny: 2"}}, "holds CR, LF or NUL"),
        ({"headers": {"Host": "a"}}, "host is set as `host`"),
        ({"status": "2xx"}, "expected statuses"),
        ({"status": ""}, "no check could pass"),
        ({"body": "("}, "expected a regular expression"),
        ({"body": "ok", "method": "HEAD"}, "has no body"),
        ({"interval": 0}, "greater than 0"),
        ({"timeout": "0s"}, "greater than 0"),
        ({"fall": 0}, "greater than or equal to 1"),
        ({"port": 70000}, "65535"),
        ({"check": "icmp"}, "'http'"),
        ({"pasive": {}}, "did you mean 'passive'"),
        ({"passive": {"failure": 3}}, "did you mean 'failures'"),
        ({"passive": {"max_ejected": 0}}, "greater than 0"),
        ({"passive": {"on": ["refused"]}}, "'connect'"),
    ],
)
def test_what_cannot_be_is_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        Settings.model_validate(settings)


def test_one_status_may_be_a_number():
    assert Settings(status=204).status == "204"


@pytest.mark.parametrize(
    ("settings", "is_on"),
    [
        ({}, True),
        ({"failures": 0}, True),
        ({"error_rate": 0}, True),
        ({"failures": 0, "error_rate": 0}, False),
        ({"on": [], "status": ""}, False),
        ({"on": []}, True),
    ],
)
def test_the_passive_side_is_off_when_nothing_can_eject(settings, is_on):
    assert Passive(**settings).is_on is is_on


def test_what_was_set_can_be_laid_under_other_settings():
    own = Settings(path="/x", interval="3s", status=204, passive={"failures": 2})
    assert Settings.model_validate(own.model_dump(exclude_unset=True)) == own
