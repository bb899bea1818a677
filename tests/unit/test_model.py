"""Request, Response, Attempt and Exchange: what they hold, and what they make of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Attempt, Endpoint, Headers, Request, Response, StateKey, UpstreamError, new_id
from gateway.config.model import EndpointSettings
from gateway.model import host_without_port

PATH = st.binary(max_size=20).filter(lambda raw: b"?" not in raw).map(lambda raw: b"/" + raw)


class TestRequest:
    def test_path_and_query_stay_as_they_came(self):
        request = Request("GET", b"/a%2Fb//..?x=%00&y")
        assert (request.raw_path, request.query) == (b"/a%2Fb//..", b"x=%00&y")
        assert request.target == b"/a%2Fb//..?x=%00&y"

    def test_the_path_for_people_is_decoded(self):
        assert Request("GET", "/caf%C3%A9%20%ff").path == "/café \ufffd"

    @given(PATH, st.binary(min_size=1, max_size=20))
    def test_a_target_is_put_together_from_what_it_was_taken_apart(self, path, query):
        assert Request("GET", path + b"?" + query).target == path + b"?" + query
        assert Request("GET", path).target == path

    @pytest.mark.parametrize(
        ("value", "host"),
        [
            ("Example.COM", "example.com"),
            ("example.com:8080", "example.com"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ],
    )
    def test_the_host_is_lower_case_and_without_its_port(self, value, host):
        assert Request(headers={"host": value}).host == host

    def test_a_request_without_host_has_an_empty_one(self):
        assert Request().host == ""

    def test_a_request_has_a_body_only_if_it_is_given_one(self):
        async def body():
            yield b""

        assert not Request("POST").has_body
        assert Request("POST", body=body()).has_body

    def test_the_repr_shows_what_was_asked_for(self):
        assert repr(Request("GET", "/a?b=1", {"cookie": "x"})) == "<Request GET /a?b=1>"


@given(st.text("abc.-0123456789", max_size=10), st.integers(0, 65535))
def test_a_port_never_stays_in_a_host(host, port):
    assert host_without_port(f"{host}:{port}".encode()) == host.encode()
    assert host_without_port(f"[::{port}]:{port}".encode()) == f"[::{port}]".encode()


class TestResponse:
    def test_text_is_utf_8_and_says_so(self):
        response = Response(body="naïve")
        assert response.body == "naïve".encode()
        assert response.headers.text("content-type") == "text/plain; charset=utf-8"

    def test_text_keeps_the_type_that_it_is_given(self):
        assert Response(200, {"content-type": "text/css"}, "a{}").headers.get_all("content-type") == [b"text/css"]

    def test_bytes_get_no_type(self):
        assert len(Response(body=b"x").headers) == 0

    def test_json_is_json(self):
        response = Response.json({"a": [1]}, status=201)
        assert (response.status, response.body) == (201, b'{"a":[1]}')
        assert response.headers.text("content-type") == "application/json"

    def test_a_redirect_has_a_location(self):
        response = Response.redirect("/login")
        assert (response.status, response.headers.get("location")) == (302, b"/login")

    @pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 600, 1000, -1])
    def test_a_status_that_would_end_the_process_is_refused(self, status):
        with pytest.raises(ValueError, match="200 to 599"):
            Response(status)

    @pytest.mark.parametrize("body", [{"a": 1}, ["a"], 5, None, bytearray(b"a")])
    def test_a_body_that_cannot_be_sent_is_refused(self, body):
        with pytest.raises(TypeError, match="body is bytes, text or an asynchronous iterator of bytes"):
            Response(200, body=body)

    def test_headers_are_shared_with_whoever_gives_them(self):
        headers = Headers({"a": "1"})
        assert Response(200, headers).headers is headers

    def test_the_repr_shows_status_and_size(self):
        assert repr(Response(404, body=b"abc")) == "<Response 404, 3 bytes>"


class TestExchange:
    def test_the_id_is_made_once_and_may_be_set(self, make_exchange):
        exchange = make_exchange()
        assert exchange.id == exchange.id
        exchange.id = "mine"
        assert exchange.id == "mine"

    def test_ids_differ(self):
        ids = {new_id() for _ in range(1000)}
        assert len(ids) == 1000
        assert {len(each) for each in ids} == {16}

    def test_state_is_under_its_key_and_not_under_its_name(self, make_exchange):
        exchange, user, other = make_exchange(), StateKey[str]("user"), StateKey[str]("user")
        assert user not in exchange
        assert exchange.get(user) is None
        assert exchange.get(user, "nobody") == "nobody"
        with pytest.raises(KeyError):
            exchange[user]
        exchange[user] = "ann"
        assert exchange[user] == exchange.get(user, "nobody") == "ann"
        assert other not in exchange

    def test_state_of_one_exchange_is_not_that_of_another(self, make_exchange):
        key, one, two = StateKey[int]("n"), make_exchange(), make_exchange()
        one[key] = 1
        assert key not in two

    def test_notes_are_kept_in_order_and_apart(self, make_exchange):
        one, two = make_exchange(), make_exchange()
        one.note("cache", "miss")
        one.note("limit", "let pass")
        assert list(one.notes) == [("cache", "miss"), ("limit", "let pass")]
        assert list(two.notes) == []

    def test_started_at_is_the_clock_on_the_wall(self, make_exchange, monkeypatch):
        exchange = make_exchange()
        monkeypatch.setattr("gateway.model.time.monotonic", lambda: exchange.started + 5)
        monkeypatch.setattr("gateway.model.time.time", lambda: 1000.0)
        assert exchange.started_at == pytest.approx(995.0)

    def test_the_repr_shows_request_and_response(self, make_exchange):
        exchange = make_exchange("/x")
        exchange.response = Response(204)
        assert repr(exchange) == "<Exchange GET /x → <Response 204, 0 bytes>>"


class TestAttempt:
    def test_the_repr_says_how_it_ended(self):
        attempt = Attempt(2, Endpoint(EndpointSettings(url="http://10.0.0.1:80")), Headers())
        assert repr(attempt) == "<Attempt 2 at 10.0.0.1:80: under way>"
        attempt.status = 200
        assert repr(attempt) == "<Attempt 2 at 10.0.0.1:80: 200>"
        attempt.error = UpstreamError("x")
        assert repr(attempt) == "<Attempt 2 at 10.0.0.1:80: UpstreamError>"
