"""When what is stored may be used: the request's own word, Vary, URLs (RFC 9111 4.1, 4.2, 5.2.1)."""

from __future__ import annotations

import pytest
from gateway_cache import Cache

from gateway.testing import reply


@pytest.fixture
def aged(case):
    """A response that is fresh for 100 seconds and is 50 seconds old."""
    case.answers(b"Cache-Control: max-age=100", b"Date: " + case.ago(50), b'ETag: "a"')
    case.get()
    return case


@pytest.mark.parametrize(
    ("control", "found"),
    [
        ("max-age=60", "hit; ttl="),
        ("max-age=40", "fwd=request; fwd-status=200; stored"),
        ("max-age=0", "fwd=request; fwd-status=200; stored"),
        ("max-age=nonsense", "fwd=request; fwd-status=200; stored"),
        ("min-fresh=40", "hit; ttl="),
        ("min-fresh=60", "fwd=request; fwd-status=200; stored"),
        ("no-cache", "fwd=request; fwd-status=200; stored"),
        ("max-stale=10", "hit; ttl="),
        ("only-if-cached", "hit; ttl="),
        ("no-transform", "hit; ttl="),
    ],
)
def test_a_fresh_response_serves_if_the_request_agrees(aged, control, found):
    assert aged.told(aged.get(f"Cache-Control: {control}")) == found


@pytest.mark.parametrize(
    ("stored", "control", "is_hit"),
    [
        (b"max-age=10", "max-stale=60", True),
        (b"max-age=10", "max-stale", True),
        (b"max-age=10", "max-stale=20", False),
        (b"max-age=10", "max-stale=60, max-age=30", False),
        (b"max-age=10, must-revalidate", "max-stale", False),
        (b"max-age=10, proxy-revalidate", "max-stale", False),
        (b"s-maxage=10", "max-stale", False),
        (b"max-age=10, no-cache", "max-stale", False),
    ],
)
def test_a_stale_response_serves_only_who_takes_it_and_if_it_may(case, stored, control, is_hit):
    case.answers(b"Cache-Control: " + stored, b"Date: " + case.ago(50), b'ETag: "a"')
    case.get()
    answer = case.get(f"Cache-Control: {control}")
    assert case.told(answer).startswith("hit; ttl=-") is is_hit


def test_pragma_counts_where_cache_control_is_absent(case):
    case.answers(b"Cache-Control: max-age=60")
    case.get()
    assert case.told(case.get("Pragma: no-cache")) == "fwd=request; fwd-status=200; stored"
    assert case.told(case.get("Pragma: no-cache", "Cache-Control: max-age=60")) == "hit; ttl="


def test_only_if_cached_is_504_if_it_is_not(case):
    answer = case.get("Cache-Control: only-if-cached")
    assert (answer.status, case.asked) == (504, 0)
    assert case.told(answer) == "fwd=uri-miss; detail=only-if-cached"


@pytest.mark.parametrize(
    ("vary", "first", "second", "is_hit"),
    [
        (b"Accept", ["Accept: a"], ["Accept: a"], True),
        (b"Accept", ["Accept: a"], ["Accept: b"], False),
        (b"Accept", ["Accept: a"], [], False),
        (b"Accept", [], [], True),
        (b"Accept", ["Accept: a,b"], ["accept:  a , b "], True),
        (b"Accept", ["Accept: a, b"], ["Accept: a", "Accept: b"], True),
        (b"Accept", ["Accept: a", "Accept: b"], ["Accept: b"], False),
        (b"Accept, Accept-Language", ["Accept: a", "Accept-Language: de"], ["Accept: a"], False),
        (b"Accept-Encoding", ["Accept-Encoding: gzip, br"], ["Accept-Encoding: br;q=1, gzip"], True),
        (b"Accept-Encoding", ["Accept-Encoding: gzip, deflate, br"], ["Accept-Encoding: gzip"], False),
        (b"Accept-Encoding", ["Accept-Encoding: x-new"], [], False),
        (b"Accept-Encoding", ["Accept-Encoding: x-new"], ["Accept-Encoding: x-newer"], True),
        (b"Accept-Encoding", ["Accept-Encoding: gzip"], ["Accept-Encoding: gzip, identity;q=0"], False),
    ],
)
def test_a_response_is_for_requests_that_agree_in_what_it_depends_on(case, vary, first, second, is_hit):
    case.answers(b"Cache-Control: max-age=60", b"Vary: " + vary)
    case.get(*first)
    assert case.told(case.get(*second)) == ("hit; ttl=" if is_hit else "fwd=vary-miss; fwd-status=200; stored")


def test_vary_may_stand_in_several_lines(case):
    case.answers(b"Cache-Control: max-age=60", b"Vary: Accept", b"Vary: Accept-Language")
    case.get("Accept: a", "Accept-Language: de")
    assert case.told(case.get("Accept: a", "Accept-Language: en")).startswith("fwd=vary-miss")
    assert case.told(case.get("Accept: a", "Accept-Language: de")) == "hit; ttl="


def test_several_variants_are_held_side_by_side(case):
    for language in ("de", "en", "fr"):
        case.answers(b"Cache-Control: max-age=60", b"Vary: Accept-Language", body=language.encode())
        case.get(f"Accept-Language: {language}")
    for language in ("de", "en", "fr"):
        assert case.get(f"Accept-Language: {language}").body == language.encode()
    assert case.asked == 3


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("?a=1", "?a=1", True),
        ("?a=1", "?a=2", False),
        ("?a=1", "", False),
        ("?a=1&utm_source=x", "?a=1", True),
        ("?a=1&b=2", "?b=2&a=1", True),
        ("?utm_source=x", "", True),
        ("/x", "/X", False),
        ("/%41", "/A", False),
    ],
)
def test_what_counts_as_the_same_url(case, one, other, is_same):
    case.answers(b"Cache-Control: max-age=60")
    case.get(path=case.path + one)
    assert (case.told(case.get(path=case.path + other)) == "hit; ttl=") is is_same


def test_the_host_is_part_of_the_url_in_any_case_and_with_its_usual_port(case):
    case.answers(b"Cache-Control: max-age=60")
    ask = b"GET " + case.path.encode() + b" HTTP/1.1\r\nHost: %b\r\n\r\n"
    case.site.request(ask % b"one.example")
    assert case.told(case.site.request(ask % b"ONE.example:80")) == "hit; ttl="
    assert case.told(case.site.request(ask % b"two.example")).startswith("fwd=uri-miss")


def test_head_is_answered_from_a_stored_get_and_not_the_other_way_round(case):
    case.answers(b"Cache-Control: max-age=60", b"Content-Type: text/x")
    case.get(method="HEAD")
    assert case.told(case.get()).startswith("fwd=uri-miss")
    answer = case.get(method="HEAD")
    assert (case.told(answer), answer.header("content-length"), answer.body) == ("hit; ttl=", b"3", b"")


def test_a_stored_response_answers_with_a_part_of_itself(case):
    case.answers(b"Cache-Control: max-age=60", b'ETag: "a"', body=b"0123456789")
    case.get()
    answer = case.get("Range: bytes=2-4")
    assert (answer.status, answer.body, answer.header("content-range")) == (206, b"234", b"bytes 2-4/10")
    assert case.get("Range: bytes=20-").status == 416
    assert case.get("Range: bytes=2-4", 'If-Range: "a"').status == 206
    assert case.get("Range: bytes=2-4", 'If-Range: "b"').status == 200
    assert b"boundary" in case.get("Range: bytes=0-0,-1").header("content-type")
    assert case.asked == 1


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (['If-None-Match: "a"'], 304),
        (['If-None-Match: W/"a"'], 304),
        (['If-None-Match: "b", "a"'], 304),
        (["If-None-Match: *"], 304),
        (['If-None-Match: "b"'], 200),
        (["If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"], 304),
        (["If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT"], 200),
        (['If-None-Match: "b"', "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"], 200),
        (['If-None-Match: "a"', "Range: bytes=0-0"], 304),
    ],
)
def test_a_stored_response_answers_conditions(case, fields, status):
    modified = b"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"
    case.answers(b"Cache-Control: max-age=60", b'ETag: "a"', modified, b"X-Other: 1")
    case.get()
    answer = case.get(*fields)
    assert (answer.status, case.asked) == (status, 1)
    if status == 304:
        assert answer.header("etag") == b'"a"'
        assert answer.header("x-other") is None
        assert answer.header("cache-control") == b"max-age=60"


def test_routes_have_responses_of_their_own(gateway, module_origin):
    one, two = module_origin(), module_origin()
    for app, body in ((one, b"one"), (two, b"two")):
        head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\n"
        app.answer(head + body)
    site = gateway(
        plugins=["cache"],
        workers=1,
        upstreams={"one": {"endpoints": [one.url]}, "two": {"endpoints": [two.url]}},
        routes=[{"match": {"cookies": {"side": "two"}}, "upstream": "two"}, {"upstream": "one"}],
    )
    for _ in range(2):
        assert site.get("/").body == b"one"
        assert site.request(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: side=two\r\n\r\n").body == b"two"
    assert (len(one.requests), len(two.requests)) == (1, 1)


def test_what_a_trusted_proxy_says_of_scheme_and_host_is_part_of_the_url(gateway, module_origin):
    app = module_origin(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\none")
    site = gateway(endpoints=[app], workers=1, plugins=["cache"], trusted_proxies=["127.0.0.0/8"])
    ask = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\n\r\n"
    for proto, host in ((b"http", b"one"), (b"https", b"one"), (b"https", b"two")):
        for _ in range(2):
            site.request(ask % (proto, host))
    assert len(app.requests) == 3


def test_kinds_of_devices_have_responses_of_their_own_and_are_purged_together(gateway, module_origin):
    app = module_origin(reply(b"one", b"Cache-Control: max-age=60", b"Vary: User-Agent"))
    settings = {"use": "cache", "device_classes": {"tablet": "iPad", "mobile": "Mobi"}}
    site = gateway(endpoints=[app], workers=1, plugins=[settings])

    def get_all() -> int:
        before = len(app.requests)
        for agent in (b"X (iPad) Mobile", b"Y Mobile", b"Z Mobi", b"Desktop 1", b"Desktop 2", b""):
            site.request(b"GET /x HTTP/1.1\r\nHost: a.example\r\nUser-Agent: %b\r\n\r\n" % agent)
        return len(app.requests) - before

    assert (get_all(), get_all()) == (3, 0)
    assert site.command("purge", "http://a.example/x").returncode == 0
    assert get_all() == 3
    site.request(b"POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n")
    assert get_all() == 3


def test_an_expression_that_is_none_is_refused():
    with pytest.raises(ValueError, match="expected a regular expression"):
        Cache.Config(device_classes={"mobile": "("})
