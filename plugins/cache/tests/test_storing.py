"""What is stored, clause by clause (RFC 9111 3 and 4.2, RFC 9213)."""

from __future__ import annotations

import pytest

from gateway.testing import CutShort

OLD = b"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("fields", "is_stored"),
    [
        ([b"Cache-Control: max-age=60"], True),
        ([b"Cache-Control: MAX-AGE=60"], True),
        ([b'Cache-Control: max-age="60"'], True),
        ([b"Cache-Control: public, max-age=60"], True),
        ([b"Cache-Control: s-maxage=60, max-age=0"], True),
        ([b"Cache-Control: s-maxage=0, max-age=60"], False),
        ([b"Cache-Control: max-age=0"], False),
        ([b"Cache-Control: max-age=-1"], False),
        ([b"Cache-Control: max-age=1.5"], False),
        ([b"Cache-Control: max-age=ten"], False),
        ([b"Cache-Control: max-age"], False),
        ([b"Cache-Control: max-age=99999999999999999999999999"], True),
        ([b"Cache-Control: max-age=60, max-age=0"], True),
        ([b"Cache-Control: max-age=0", b"Cache-Control: max-age=60"], False),
        ([b"Cache-Control: nonsense, ;;, =, max-age=60"], True),
        ([b'Cache-Control: extension="max-age=0, no-store", max-age=60'], True),
        ([b"Cache-Control: no-store, max-age=60"], False),
        ([b"Cache-Control: No-Store", b"Cache-Control: max-age=60"], False),
        ([b"Cache-Control: private, max-age=60"], False),
        ([b"Cache-Control: no-cache, max-age=60"], False),
        ([b'Cache-Control: private="x-user", max-age=60', b"X-User: ann"], True),
        ([b'Cache-Control: no-cache="x-user", max-age=60', b"X-User: ann"], True),
        ([b"Cache-Control: must-understand, no-store, max-age=60"], True),
        ([b"Pragma: no-cache", b"Cache-Control: max-age=60"], True),
        ([b"Cache-Control: max-age=60", b"Set-Cookie: a=1"], False),
        ([b'Cache-Control: max-age=60, private="set-cookie"', b"Set-Cookie: a=1"], True),
        ([b"Cache-Control: max-age=60", b"Vary: *"], False),
        ([b"Cache-Control: max-age=60", b"Vary: Accept, *"], False),
        ([b"Cache-Control: max-age=60", b"Age: 59"], True),
        ([b"Cache-Control: max-age=60", b"Age: 61"], False),
        ([b"Cache-Control: max-age=60", b"Age: 61, 0"], False),
        ([b"Cache-Control: max-age=60", b"Age: 0, 61"], True),
        ([b"Cache-Control: max-age=60", b"Age: old"], True),
        ([b"Expires: Fri, 31 Dec 2199 23:59:59 GMT"], True),
        ([b"Expires: Friday, 31-Dec-49 23:59:59 GMT"], True),
        ([b"Expires: Fri Dec 31 23:59:59 2199"], True),
        ([b"Expires: 0"], False),
        ([b"Expires: Sun, 06 Nov 1994 08:49:37 GMT"], False),
        ([b"Expires: Fri, 31 Dec 2199 23:59:59 GMT", b"Cache-Control: max-age=0"], False),
        ([b"Expires: 0", b"Cache-Control: max-age=60"], True),
        ([b"Expires: Fri, 31 Dec 2199 23:59:59 GMT", b"Cache-Control: s-maxage=0"], False),
        ([OLD], True),
        ([OLD, b"Cache-Control: no-store"], False),
        ([b"Last-Modified: Fri, 31 Dec 2199 23:59:59 GMT"], False),
        ([b'ETag: "a"'], False),
        ([], False),
        ([b"CDN-Cache-Control: max-age=60", b"Cache-Control: no-store"], True),
        ([b"CDN-Cache-Control: no-store", b"Cache-Control: max-age=60"], False),
        ([b"CDN-Cache-Control: max-age=", b"Cache-Control: max-age=60"], True),
        ([b"CDN-Cache-Control:", b"Cache-Control: no-store"], False),
        ([b"CDN-Cache-Control: max-age=0", b"Expires: Fri, 31 Dec 2199 23:59:59 GMT"], False),
    ],
)
def test_what_a_response_says_decides_whether_it_serves_again(case, fields, is_stored):
    assert case.stored_after(*fields) is is_stored


@pytest.mark.parametrize(
    ("status", "fields", "is_stored"),
    [
        (b"201 Created", [b"Cache-Control: max-age=60"], True),
        (b"301 Moved", [OLD], True),
        (b"302 Found", [OLD], False),
        (b"302 Found", [OLD, b"Cache-Control: public"], True),
        (b"302 Found", [b"Cache-Control: max-age=60"], True),
        (b"404 Not Found", [OLD], True),
        (b"404 Not Found", [b"Cache-Control: max-age=60"], True),
        (b"404 Not Found", [], False),
        (b"410 Gone", [OLD], True),
        (b"500 Internal", [OLD], False),
        (b"503 Busy", [b"Cache-Control: max-age=60"], True),
        (b"599 Odd", [b"Cache-Control: max-age=60"], True),
        (b"599 Odd", [b"Cache-Control: max-age=60, must-understand"], False),
        (b"204 No Content", [b"Cache-Control: max-age=60"], True),
    ],
)
def test_a_status_is_stored_if_that_is_said_or_may_be_guessed(case, status, fields, is_stored):
    body = b"" if status.startswith(b"204") else b"one"
    assert case.stored_after(*fields, status=status, body=body) is is_stored


@pytest.mark.parametrize(
    ("control", "is_stored"),
    [
        (b"max-age=60", False),
        (b"max-age=60, public", True),
        (b"max-age=60, must-revalidate", True),
        (b"s-maxage=60", True),
        (b"max-age=60, proxy-revalidate", False),
    ],
)
def test_a_response_to_a_request_with_authorization_is_stored_only_if_that_is_allowed(case, control, is_stored):
    assert case.stored_after(b"Cache-Control: " + control, request=["Authorization: Basic eA=="]) is is_stored


def test_what_is_stored_without_authorization_serves_a_request_with_it(case):
    case.answers(b"Cache-Control: max-age=60")
    case.get()
    assert case.told(case.get("Authorization: Basic eA==")) == "hit; ttl="


@pytest.mark.parametrize(
    "request_", [["Cache-Control: no-store"], ["Cookie: a=1; session_id=2"], ["X-HTTP-Method-Override: DELETE"]]
)
def test_a_request_that_has_to_pass_leaves_nothing(case, request_):
    case.answers(b"Cache-Control: max-age=60")
    assert case.told(case.get(*request_)) == "fwd=bypass; fwd-status=200"
    assert case.told(case.get()) == "fwd=uri-miss; fwd-status=200; stored"
    assert case.told(case.get(*request_)) == "fwd=bypass; fwd-status=200"
    assert case.told(case.get("Cookie: a=1")) == "hit; ttl="


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PURGE", "OPTIONS"])
def test_other_methods_are_not_stored(case, method):
    case.answers(b"Cache-Control: max-age=60")
    case.get("Content-Length: 0", method=method)
    assert case.told(case.get()) == "fwd=uri-miss; fwd-status=200; stored"


def test_a_field_that_is_not_for_others_is_not_stored(case):
    case.answers(b'Cache-Control: private="X-User, x-more", max-age=60', b"X-User: ann", b"X-More: 1", b"X-All: 2")
    assert case.get().header("x-user") == b"ann"
    again = case.get()
    assert (case.told(again), again.header("x-user"), again.header("x-more")) == ("hit; ttl=", None, None)
    assert again.header("x-all") == b"2"


def test_a_body_that_is_stored_while_it_arrives_keeps_its_length(case):
    head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 200000\r\n\r\n"

    def in_pieces(connection, request):
        connection.send(head)
        connection.send(bytes(200_000))

    case.origin.answer(in_pieces)
    first, again = case.get(), case.get()
    assert [answer.header("content-length") for answer in (first, again)] == [b"200000"] * 2
    assert case.told(again) == "hit; ttl="


def test_a_body_over_the_limit_arrives_whole_and_is_not_stored(case):
    body = bytes(range(256)) * 2048
    case.answers(b"Cache-Control: max-age=60", body=body)
    assert [case.get().body == body for _ in range(2)] == [True, True]
    assert case.asked == 2


def test_a_chunked_body_over_the_limit_arrives_whole_and_is_not_stored(case):
    body = bytes(range(256)) * 2048

    def chunked(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(body), 4096):
            connection.send(b"1000\r\n" + body[start : start + 4096] + b"\r\n")
        connection.send(b"0\r\n\r\n")

    case.origin.answer(chunked)
    assert [case.get().body == body for _ in range(2)] == [True, True]
    assert case.asked == 2


def test_a_body_that_is_cut_is_cut_and_not_stored(case):
    def cut(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\nhalf")
        connection.close()

    case.origin.answer(cut)
    with pytest.raises(CutShort):
        case.get()
    case.answers(b"Cache-Control: max-age=60", body=b"whole")
    assert (case.get().body, case.asked) == (b"whole", 2)


def test_a_response_without_a_date_gets_one_and_one_with_it_keeps_it(case):
    case.origin.answer(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\none")
    case.get()
    assert case.get().header("date") is not None
    dated = case.ago(30)
    other = type(case)(case.site, case.origin)
    other.answers(b"Cache-Control: max-age=60", b"Date: " + dated)
    assert other.get().header("date") == dated
    again = other.get()
    assert again.header("date") == dated
    assert 30 <= int(again.header("age")) <= 40


def test_hop_by_hop_fields_are_not_stored(case):
    case.answers(b"Cache-Control: max-age=60", b"Connection: x-hop", b"X-Hop: 1", b"X-Kept: 2")
    case.get()
    again = case.get()
    assert (again.header("x-hop"), again.header("x-kept")) == (None, b"2")


def test_interim_responses_are_not_stored(case):
    case.origin.answer(
        b"HTTP/1.1 103 Early Hints\r\nCache-Control: max-age=60\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\none"
    )
    case.get()
    again = case.get()
    assert (case.told(again), again.status, again.header("link")) == ("hit; ttl=", 200, None)
