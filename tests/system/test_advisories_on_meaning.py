"""Attacks that public advisories tell of, on what a message means: each is named after the one that it stems from.

Most are about other proxies and servers; what was wrong there is what is looked for here: fields that a client puts
into others, paths and hosts that pass by their routes, responses that are stored for everybody, and fields that
`Connection` takes away. `test_advisories` is about where a message ends.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.testing import CutShort, GatewayProcess, Origin, OriginConnection, SeenRequest, reply

SITE = {
    "profile": "reverse-proxy",
    "plugins": {
        "access-log": False,
        "headers": {
            "request": {"set": {"x-set-by-us": "yes", "x-asked": "{path}"}},
            "response": {"set": {"x-asked": "{path} of {host}"}},
        },
    },
    "routes": [
        {"match": {"path": "/admin"}, "respond": {"status": 403, "body": "admin"}},
        {"match": {"pattern": "/users/{id}"}, "rewrite": {"pattern": "/u/{id}"}, "upstream": "app"},
        {"match": {"path": "/old"}, "redirect": {"to": "{path}", "status": 301}},
        {"match": {"host": "inner.example"}, "respond": {"status": 403, "body": "inner"}},
        {"match": {"path": "/"}, "upstream": "app"},
    ],
}


@pytest.fixture
def app(shared_origin: Origin) -> Iterator[Origin]:
    """The origin: it answers with the target that it was asked for."""
    shared_origin.reset(say_target)
    yield shared_origin
    shared_origin.settle()  # of what was refused some may still be on its way
    assert shared_origin.errors == []


def say_target(connection: OriginConnection, request: SeenRequest) -> None:
    connection.read_body(request)
    connection.send(reply(request.target))


def status_of(site: GatewayProcess, data: bytes) -> int:
    """The status of the answer, or 0 if the connection was closed without one."""
    try:
        return site.request(data).status
    except CutShort:
        return 0


# -- header injection ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [b"/users/%0d%0aX-Evil:%201", b"/users/%0a", b"/users/a%20HTTP%0d%0ax:y"])
def test_cve_2023_25690_httpd_a_rewritten_path_stays_encoded(site, app, path):
    site.request(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [seen.target for seen in app.requests] == [path.replace(b"/users/", b"/u/")] or app.requests == []
    assert all(seen.header("x-evil") is None for seen in app.requests)


@pytest.mark.parametrize(
    ("path", "location"),
    [
        (b"/old/%0d%0aSet-Cookie:a=b", b"/old/%0d%0aSet-Cookie:a=b"),
        (b"/old/%E5%98%8A%E5%98%8DSet-Cookie", b"/old/%E5%98%8A%E5%98%8DSet-Cookie"),
        (b"//evil.example/../old", b"/evil.example/../old"),
        (b"/\\evil.example/../old", b"/evil.example/../old"),
        (b"/%5cevil.example/../old", b"/%5cevil.example/../old"),
        (b"/%2f%2fevil.example/../old", b"/%2f%2fevil.example/../old"),
        (b"/%09/evil.example/%2e%2e/../old", b"/%09/evil.example/%2e%2e/../old"),
    ],
)
def test_cve_2019_10098_httpd_a_redirect_goes_nowhere_else(site, app, path, location):
    """Also CVE-2018-11784 of Tomcat: a redirect to oneself that a browser takes for one to another host."""
    found = site.request(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (found.status, found.header_all("location"), found.header("set-cookie")) == (301, [location], None)


@pytest.mark.parametrize("path", [b"/\xc4\x8d\xc4\x8aX-Evil:1", b"/%0d%0aX-Evil:1", b"/a\tb", b"/\x7f"])
def test_cve_2018_1000164_gunicorn_what_was_asked_ends_no_field(site, app, path):
    with site.connect() as client:
        client.send(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"\nx-evil" not in client.read_until_closed().lower()
    assert all(seen.header("x-evil") is None for seen in app.requests)


# -- paths ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(b"/%61dmin", id="percent-encoded-letters"),
        pytest.param(b"//admin", id="CVE-2019-9901-envoy"),
        pytest.param(b"/./admin", id="CVE-2019-9901-envoy-dot"),
        pytest.param(b"/x/../admin", id="CVE-2025-32431-traefik"),
        pytest.param(b"/x/%2e%2e/admin/users", id="CVE-2021-41773-httpd"),
        pytest.param(b"/x/.%2E/admin", id="CVE-2021-41773-httpd-mixed"),
        pytest.param(b"/..//admin", id="dots-at-the-root"),
        pytest.param(b"/admin/", id="slash-at-the-end"),
        pytest.param(b"/admin/../admin", id="there-and-back"),
        pytest.param(b"/admin?x", id="query"),
    ],
)
def test_no_way_of_writing_a_path_passes_by_its_route(site, app, path):
    found = site.request(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (found.status, found.body, app.requests) == (403, b"admin", [])


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(b"/x/..%2fadmin", id="CVE-2021-29492-envoy"),
        pytest.param(b"/%2fadmin", id="CVE-2021-29492-envoy-root"),
        pytest.param(b"/admin%2fusers", id="CVE-2021-29492-envoy-end"),
        pytest.param(b"/x\\..\\admin", id="CVE-2021-29492-envoy-backslash"),
        pytest.param(b"/x/..;/admin", id="CVE-2020-5902-f5"),
        pytest.param(b"/admin;x=1", id="path-parameter"),
        pytest.param(b"/%2561dmin", id="CVE-2021-42013-double-encoding"),
        pytest.param(b"/ADMIN", id="case"),
        pytest.param(b"/admin%00", id="null"),
        pytest.param(b"/admin%20", id="space"),
    ],
)
def test_an_ambiguous_path_is_matched_by_its_segments_and_forwarded_as_it_came(site, app, path):
    """As `match` in gateway/SETTINGS.md says: what an origin makes of them beyond that is its own affair."""
    assert site.request(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n").body == path
    assert [seen.target for seen in app.requests] == [path]


@pytest.mark.parametrize("target", [b"/admin#.png", b"/x#/../admin", b"#", b"/#"])
def test_cve_2023_45539_haproxy_a_fragment_is_no_part_of_a_request(site, app, target):
    """Also CVE-2021-32779 of Envoy."""
    found = status_of(site, b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert found in (400, 403, 0) or [seen.target for seen in app.requests] == [target.partition(b"#")[0]]


# -- cache poisoning -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"X-Forwarded-Host: evil.example", id="X-Forwarded-Host"),
        pytest.param(b"X-Forwarded-Prefix: /evil", id="CVE-2021-41267-symfony"),
        pytest.param(b"X-Forwarded-Scheme: evil", id="X-Forwarded-Scheme"),
        pytest.param(b"X-Forwarded-Server: evil.example", id="X-Forwarded-Server"),
        pytest.param(b"X-Forwarded-Port: 666", id="X-Forwarded-Port"),
        pytest.param(b"X-Forwarded-Ssl: off", id="X-Forwarded-Ssl"),
        pytest.param(b"X-Original-URL: /evil", id="CVE-2018-14773-original"),
        pytest.param(b"X-Rewrite-URL: /evil", id="CVE-2018-14773-rewrite"),
        pytest.param(b"X-Original-Host: evil.example", id="X-Original-Host"),
        pytest.param(b"Forwarded: host=evil.example", id="Forwarded"),
        pytest.param(b"X-HTTP-Method-Override: DELETE", id="CPDoS-override"),
        pytest.param(b"X-HTTP-Method: DELETE", id="CPDoS-method"),
        pytest.param(b"X-Method-Override: DELETE", id="CPDoS-other"),
    ],
)
def test_a_field_that_is_no_part_of_the_key_poisons_no_cache(site, app, line):
    """The origin here believes what it is told, and says so in a response that is for all."""

    def believe(connection: OriginConnection, request: SeenRequest) -> None:
        told = request.header(line.partition(b":")[0]) or b""
        evil = told if told in line else b""
        connection.send(reply(b"page" + evil, b"Cache-Control: max-age=60"))

    app.reset(believe)
    target = f"/poison/{line.partition(b':')[0].decode()}"
    site.get(target, line)
    assert site.get(target).body == b"page"


# -- fields that end at this hop -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sent", "arrives"),
    [
        pytest.param("X-Forwarded-For", b"", b"127.0.0.1", id="CVE-2022-31813-httpd"),
        pytest.param("X-Forwarded-Proto", b"", b"http", id="CVE-2024-45410-traefik"),
        pytest.param("X-Forwarded-Host", b"", b"a", id="CVE-2022-1388-f5"),
        pytest.param("Host", b"", b"a", id="CVE-2022-1388-f5-host"),
        pytest.param("Authorization", b"Basic eA==", b"Basic eA==", id="CVE-2022-1388-f5-authorization"),
        pytest.param("Cookie", b"session=1", b"session=1", id="cookie"),
        pytest.param("X-Set-By-Us", b"forged", b"yes", id="CVE-2021-33197-go"),
    ],
)
@pytest.mark.parametrize("listing", ["Connection: close, {}", "Connection: {}", "Connection: x\r\nConnection: {}"])
def test_connection_takes_away_nothing_that_others_rely_on(site, app, name, sent, arrives, listing):
    line = f"{name}: ".encode() + sent + b"\r\n" if sent else b""
    head = b"GET / HTTP/1.1\r\nHost: a\r\n" + line + listing.format(name).encode() + b"\r\n\r\n"
    assert site.request(head).status == 200
    assert app.last.header_all(name) == [arrives]
    assert app.last.header("connection") is None


def test_cve_2021_33197_go_a_request_id_of_ours_outlives_connection(site, app):
    site.get("/", b"Connection: X-Request-Id", b"X-Request-Id: forged")
    assert app.last.header("x-request-id") not in (None, b"forged")


# -- hosts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        b"inner.example",
        b"INNER.example",
        b"inner.example.",
        b"inner.example:80",
        b"inner.example:",
        b"inner.example:08080",
    ],
)
def test_no_way_of_writing_a_host_passes_by_its_route(site, app, host):
    found = site.request(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert (found.status, found.body, app.requests) == (403, b"inner", [])


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(b"Host: a\r\n Host: inner.example", id="folded"),
        pytest.param(b"Host: a:80@inner.example", id="userinfo"),
        pytest.param(b"Host: a:80:inner.example", id="port-tricks"),
        pytest.param(b"Host: a,inner.example/", id="list"),
        pytest.param(b"Host : inner.example\r\nHost: a", id="space-before-the-colon"),
        pytest.param(b"\rHost: inner.example\r\nHost: a", id="carriage-return"),
    ],
)
def test_a_host_that_others_could_read_otherwise_is_refused(site, app, lines):
    assert status_of(site, b"GET / HTTP/1.1\r\n" + lines + b"\r\n\r\n") in (400, 0)
    assert app.requests == []


@pytest.mark.parametrize("target", [b"http://user@a/", b"http://a:99999/", b"http:///x", b"ftp://a/", b"http://"])
def test_cve_2021_39240_haproxy_an_absolute_target_has_a_host_and_is_http(site, app, target):
    status = status_of(site, b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status in (400, 0) or app.last.header_all("host") == [b"a"]
