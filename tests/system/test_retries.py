"""Retries: in which cases another endpoint is asked, beyond those in which nothing was sent."""

from __future__ import annotations

import pytest

from gateway.testing import OriginConnection, SeenRequest, reply, run_command, site_text

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi"
PUT = POST.replace(b"POST", b"PUT")
SICK = reply(b"sick", status=b"503 Service Unavailable")


@pytest.fixture
def sick(origin):
    return origin(SICK)


@pytest.fixture
def well(origin):
    return origin(reply(b"well"))


def gateway_of(gateway, *endpoints, timeouts=None, **retries):
    upstream = {"endpoints": [endpoint.url for endpoint in endpoints], "retries": retries}
    return gateway(upstreams={"app": upstream | ({"timeouts": timeouts} if timeouts else {})})


@pytest.mark.parametrize("request_", [GET, PUT])
def test_a_status_that_is_named_moves_a_repeatable_request_to_the_next_endpoint(gateway, sick, well, request_):
    site = gateway_of(gateway, sick, well, on=["closed", 503])
    assert site.request(request_).body == b"well"
    assert (len(sick.requests), len(well.requests)) == (1, 1)
    assert well.last.body == (b"hi" if request_ is PUT else b"")


def test_other_methods_and_other_statuses_pass_as_they_are(gateway, sick, well):
    site = gateway_of(gateway, sick, well, on=[503])
    assert site.request(POST).status == 503
    sick.answer(reply(b"other", status=b"502 Bad Gateway"))
    assert site.request(GET).status == 502
    assert well.requests == []


def test_the_last_endpoint_has_the_last_word(gateway, sick, origin):
    site = gateway_of(gateway, sick, origin(SICK), on=[503])
    response = site.request(GET)
    assert (response.status, response.body) == (503, b"sick")


def test_the_connection_of_a_status_that_was_passed_over_is_kept(gateway, sick, well):
    site = gateway_of(gateway, sick, well, on=[503])
    with site.connect() as client:
        for _ in range(3):
            assert client.request(GET).body == b"well"
    assert sick.opened == 1


def test_a_timeout_moves_on_only_if_told_so(gateway, origin, well):
    def stall(connection: OriginConnection, request: SeenRequest) -> None:
        connection.wait_closed()

    slow = origin(stall)
    site = gateway_of(gateway, slow, well, on=["timeout"], timeouts={"response": "50ms"})
    assert site.request(GET).body == b"well"
    assert site.request(POST).status == 504
    site = gateway_of(gateway, slow, well, timeouts={"response": "50ms"})
    assert site.request(GET).status == 504


def test_a_response_that_is_none_moves_on_only_if_told_so(gateway, origin, well):
    garbled = origin(b"this is no HTTP\r\n\r\n")
    assert gateway_of(gateway, garbled, well, on=["invalid"]).request(GET).body == b"well"
    assert gateway_of(gateway, garbled, well).request(GET).status == 502


def test_a_connection_that_breaks_can_be_left_to_the_client(gateway, origin, well):
    rude = origin(lambda connection, request: connection.close())
    assert gateway_of(gateway, rude, well).request(GET).body == b"well"
    assert gateway_of(gateway, rude, well, on=[]).request(GET).status == 502


def test_the_budget_bounds_retries_for_a_status_too(gateway, sick, well):
    site = gateway_of(gateway, sick, well, on=[503], budget=0)
    with site.connect() as client:
        statuses = [client.request(GET).status for _ in range(20)]
    assert statuses == [200] * 10 + [503] * 10


def test_later_attempts_wait_and_the_record_has_them_all(gateway, sick, origin, well):
    site = gateway(
        plugins=["access-log"],
        upstreams={
            "app": {
                "endpoints": [sick.url, origin(SICK).url, well.url],
                "retries": {"on": [503], "backoff": "20ms"},
            }
        },
    )
    assert site.request(GET).body == b"well"
    site.stop()
    assert '"attempts":3' in (site.directory / "stdout.log").read_text()


@pytest.mark.parametrize("wrong", ["closd", 404])
def test_what_is_no_condition_is_refused_at_load(well, tmp_path, wrong):
    site = tmp_path / "site.toml"
    site.write_text(site_text(upstreams={"app": {"endpoints": [well.url], "retries": {"on": [wrong]}}}))
    done = run_command("check", "site.toml", directory=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        'gateway: site.toml: upstreams.app.retries.on[0]: expected "closed", "timeout", "invalid" or a status'
        f" from 500 to 599, not {wrong!r}\n"
    )
