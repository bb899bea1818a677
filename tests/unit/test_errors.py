"""The error tree: each failure has a side, a status, and a word on whether another try makes sense."""

from __future__ import annotations

import inspect

import pytest

from gateway import errors

TREE = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.GatewayError)]


@pytest.mark.parametrize(
    ("cls", "status"),
    [
        (errors.NoEndpoint, 503),
        (errors.ConnectFailed, 502),
        (errors.ConnectTimeout, 504),
        (errors.UpstreamTimeout, 504),
        (errors.ExchangeTimeout, 504),
        (errors.BadResponse, 502),
        (errors.ResponseCut, 502),
        (errors.UpstreamClosed, 502),
        (errors.PluginError, 500),
    ],
)
def test_a_failure_has_the_status_of_the_http_rules(cls, status):
    assert cls("x").status == status


def test_failures_of_the_client_have_their_own_statuses():
    made = [errors.BodyTooLarge(5), errors.BodyTimeout(1.5), errors.NoRoute(), errors.ClientDisconnected()]
    assert [error.status for error in made] == [413, 408, 404, 499]
    assert {error.side for error in made} == {"client"}


def test_only_what_brought_nothing_of_a_response_may_be_repeated():
    repeated = {cls for cls in TREE if cls.is_retryable}
    assert repeated == {
        errors.ConnectFailed, errors.ConnectTimeout, errors.StaleConnection, errors.UpstreamClosed,
    }  # fmt: skip


@pytest.mark.parametrize("cls", TREE)
def test_every_error_belongs_to_a_side(cls):
    assert cls.side in ("client", "gateway", "upstream")
    assert 400 <= cls.status <= 599
