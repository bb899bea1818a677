"""Plugins that change what is asked: framing follows the body, and nothing of the client's begins a line."""

from __future__ import annotations

import pytest

from gateway.testing import reply

PLUGINS = r"""
from urllib.parse import unquote_to_bytes
from gateway import Response, WholeBody, hookimpl

ANSWER = Response(200, {"content-type": "text/plain"}, b"for everybody")
BODIES = {
    "/text": "text", "/whole": WholeBody(b"another body"), "/dropped": None,
}

async def pieces(*given):
    for piece in given:
        yield piece

async def fails(body):
    async for piece in body:
        yield piece
        raise RuntimeError("in the midst")

class Changes:
    @hookimpl
    def on_request(self, exchange):
        request = exchange.request
        if request.path == "/length":
            request.headers.set("content-length", "3")
        elif request.path == "/shorter":
            request.body = pieces(b"one")
        elif request.path == "/longer":
            request.body = pieces(b"one two and a half", b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        elif request.path == "/words":
            request.body = pieces(b"one", "two")
        elif request.path in BODIES:
            request.body = BODIES[request.path]
        elif request.raw_path.startswith(b"/decoded/"):
            request.raw_path = unquote_to_bytes(request.raw_path)
        elif request.raw_path.startswith(b"/query/"):
            request.query = unquote_to_bytes(request.raw_path)
        elif request.raw_path.startswith(b"/seen/"):
            exchange.forwarded_path = request.path
        elif request.raw_path.startswith(b"/rewritten/"):
            exchange.rewrite(request.path.removeprefix("/rewritten"))
        elif request.path == "/method":
            request.method = "GET /x HTTP/1.1\r\nX-Admin: 1"
        elif request.path == "/nowhere":
            exchange.upstream = "app"
        elif request.path == "/elsewhere":
            exchange.upstream = exchange.app.upstreams["other"]
        elif request.path == "/answer":
            return ANSWER
        elif request.path == "/cookie":
            return Response(200, body=str(request.cookie("user")))

    @hookimpl
    def wrap_request_body(self, exchange, body):
        return fails(body) if exchange.request.path == "/fails" else None

class Names:
    @hookimpl
    def on_response(self, exchange, response):
        response.headers.add("x-seen", exchange.request.headers.text("x-user", "nobody"))
"""

POST = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\none two"
GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def app(module_origin):
    def answer(connection, request):
        connection.send(reply(connection.read_body(request)))

    return module_origin(answer)


@pytest.fixture(scope="module")
def other(module_origin):
    return module_origin(lambda connection, request: connection.send(reply(b"other")))


@pytest.fixture(scope="module")
def site(module_gateway, app, other):
    plugins = ["./changing.py:Names", "./changing.py:Changes"]
    return module_gateway(
        upstreams={"app": {"endpoints": [app.url]}, "other": {"endpoints": [other.url]}},
        routes=[{"match": {"path": "/"}, "upstream": "app"}],
        plugins=plugins,
        files={"changing.py": PLUGINS},
    )


def is_in_step(site, app) -> bool:
    """Whether the next request arrives as it was sent, over whatever connection is kept."""
    target = b"/next/%d" % len(app.requests)
    answer = site.request(POST % target)
    # Not the last that the origin has seen: that may be one which was cut before, and which it notices later.
    seen = [request for request in app.requests if request.target == target]
    return (answer.status, answer.body, len(seen)) == (200, b"one two", 1)


def test_a_length_that_a_plugin_sets_does_not_frame_the_body(site, app):
    assert site.request(POST % b"/length").body == b"one two"
    assert app.last.header("content-length") == b"7"
    assert is_in_step(site, app)


@pytest.mark.parametrize("method", [POST, GET])
def test_a_whole_body_in_its_place_is_sent_with_its_own_length(site, app, method):
    answer = site.request(method % b"/whole")
    assert (answer.status, answer.body, app.last.header("content-length")) == (200, b"another body", b"12")
    assert is_in_step(site, app)


def test_a_body_that_a_plugin_takes_away_is_not_sent(site, app):
    assert site.request(POST % b"/dropped").body == b""
    assert app.last.header("content-length") == b"0"
    assert is_in_step(site, app)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (b"/shorter", "plugin 'Changes' put less into a request's body than the 7 bytes that were announced"),
        (b"/longer", "plugin 'Changes' put more into a request's body than the 7 bytes that were announced"),
        (b"/words", "plugin 'Changes' gave 'two' as a piece of a request's body: it is bytes"),
        (b"/text", "plugin 'Changes' left a request with the body 'text': it is a WholeBody(bytes)"),
    ],
)
def test_a_body_that_cannot_be_sent_is_an_error_that_names_the_plugin(site, app, path, said):
    assert site.request(POST % path).status == 500
    site.wait_for_log(said)
    assert b"/smuggled" not in [request.target for request in app.requests]
    assert is_in_step(site, app)


def test_a_body_that_a_plugin_fails_to_wrap_is_named_with_its_line(site, app):
    assert site.request(POST % b"/fails").status == 500
    site.wait_for_log("failed in a request's body: RuntimeError('in the midst')")
    assert "changing.py" in site.log
    assert is_in_step(site, app)


def test_a_mirror_does_not_change_what_a_body_is_framed_by(module_gateway, app, other):
    site = module_gateway(
        upstreams={"app": {"endpoints": [app.url]}, "other": {"endpoints": [other.url]}},
        routes=[{"match": {"path": "/"}, "upstream": "app", "mirror": {"upstream": "other"}}],
        plugins=["./changing.py:Changes"],
        files={"changing.py": PLUGINS},
    )
    before = len(other.requests)
    assert site.request(POST % b"/whole").body == b"another body"
    other.wait_for_requests(before + 1)
    assert other.last.header("content-length") == b"12"


@pytest.mark.parametrize(
    ("cookies", "found"),
    [
        ("flag; user=ana", b"ana"),
        ('data={"x":1}; user=ana', b"ana"),
        ("a@b=1; user=ana; user=b", b"ana"),
        ("a=user", b"None"),
    ],
)
def test_a_cookie_is_found_whatever_stands_beside_it(site, cookies, found):
    assert site.get("/cookie", headers={"cookie": cookies}).body == found


@pytest.mark.parametrize("place", [b"/decoded/", b"/query/"])
@pytest.mark.parametrize("told", [b"a%20b", b"x%20HTTP/1.1%0d%0aX-Admin:%201", b"%0a", b"%00"])
def test_nothing_of_a_decoded_path_begins_a_line(site, app, place, told):
    before = len(app.requests)
    assert site.request(GET % (place + told)).status == 500
    site.wait_for_log("plugin 'Changes' left a request with path ")
    site.wait_for_log("`exchange.rewrite(path)` encodes a path")
    assert len(app.requests) == before


def test_a_path_that_is_no_bytes_is_named(site):
    assert site.request(GET % b"/seen/a").status == 500
    site.wait_for_log("left a request with path '/seen/a'")


def test_a_method_that_is_no_token_is_named(site):
    assert site.request(GET % b"/method").status == 500
    site.wait_for_log("plugin 'Changes' left a request with method 'GET /x HTTP/1.1")


@pytest.mark.parametrize(
    ("asked", "seen"),
    [(b"/a%20b", b"/a%20b"), (b"/a%0d%0ab", b"/a%0D%0Ab"), (b"/%C3%A4?q=%20", b"/%C3%A4?q=%20"), (b"", b"/")],
)
def test_a_rewritten_path_is_encoded(site, app, asked, seen):
    assert site.request(GET % (b"/rewritten/" + asked.lstrip(b"/"))).status == 200
    assert app.last.target == seen


def test_an_upstream_is_taken_from_the_app(site):
    assert site.request(GET % b"/elsewhere").body == b"other"
    assert site.request(GET % b"/nowhere").status == 500
    site.wait_for_log("plugin 'Changes' set exchange.upstream to 'app': it is one of app.upstreams")


def test_an_answer_that_is_given_to_everybody_keeps_nothing_of_anybody(site):
    first = site.request(b"GET /answer HTTP/1.1\r\nHost: a\r\nX-User: ann\r\n\r\n")
    second = site.request(b"GET /answer HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (first.body, first.header_all("x-seen")) == (b"for everybody", [b"ann"])
    assert (second.body, second.header_all("x-seen")) == (b"for everybody", [b"nobody"])
