"""What is stale is confirmed, replaced, or serves while the origin is away (RFC 9111 4.3, 4.4, RFC 5861)."""

from __future__ import annotations

from threading import Thread

import pytest

from gateway.testing import Held, reply, wait_until


def test_a_stale_response_is_confirmed_and_takes_the_new_fields(case):
    case.stale()
    case.confirms(b'ETag: "a"', b"Cache-Control: max-age=60", b"X-New: 2", b"Content-Type: x/y")
    answer = case.get()
    assert (answer.status, answer.body) == (200, b"one")
    assert case.told(answer) == "fwd=stale; fwd-status=304; stored"
    assert case.origin.last.header("if-none-match") == b'"a"'
    again = case.get()
    assert (case.told(again), again.header("x-new"), again.header("x-old")) == ("hit; ttl=", b"2", b"1")
    assert again.header("content-type") != b"x/y"
    assert len(again.header_all("etag")) == 1


def test_a_date_is_asked_with_if_there_is_no_etag(case):
    modified = b"Sun, 06 Nov 1994 08:49:37 GMT"
    case.stale(b"Cache-Control: max-age=10", b"Last-Modified: " + modified)
    case.confirms(b"Cache-Control: max-age=60")
    assert case.get().body == b"one"
    assert case.origin.last.header("if-modified-since") == modified


def test_a_new_response_takes_the_place_of_a_stale_one(case):
    case.stale()
    case.answers(b"Cache-Control: max-age=60", b'ETag: "b"', body=b"two")
    assert case.told(case.get()) == "fwd=stale; fwd-status=200; stored"
    assert (case.get().body, case.asked) == (b"two", 2)


def test_no_cache_is_confirmed_each_time(case):
    case.answers(b"Cache-Control: no-cache", b'ETag: "a"')
    case.get()
    case.confirms(b'ETag: "a"', b"Cache-Control: no-cache")
    for _ in range(2):
        assert case.get().body == b"one"
    assert case.asked == 3


@pytest.mark.parametrize(("given", "status"), [('"a"', 304), ('"old"', 200)])
def test_a_clients_own_condition_is_looked_at_when_the_stored_response_is_confirmed(case, given, status):
    case.stale()
    case.confirms(b'ETag: "a"', b"Cache-Control: max-age=60")
    assert case.get(f"If-None-Match: {given}").status == status
    assert case.origin.last.header_all("if-none-match") == [b'"a"']


def test_a_304_that_only_the_client_has_asked_for_passes(case):
    case.confirms(b'ETag: "mine"')
    answer = case.get('If-None-Match: "mine"')
    assert (answer.status, case.told(answer)) == (304, "fwd=uri-miss; fwd-status=304")


# -- when the origin fails -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("control", "age", "is_served"),
    [
        (b"max-age=10", 50, True),
        (b"max-age=10, stale-if-error=60", 50, True),
        (b"max-age=10, stale-if-error=20", 50, False),
        (b"max-age=10, must-revalidate", 50, False),
        (b"max-age=10, proxy-revalidate, stale-if-error=60", 50, False),
        (b"s-maxage=10", 50, False),
        (b"s-maxage=10, stale-if-error=60", 50, True),
        (b"max-age=10, no-cache, stale-if-error=60", 50, False),
    ],
)
@pytest.mark.parametrize("failure", [b"503 Busy", b""], ids=["status", "cut"])
def test_a_stale_response_serves_if_the_origin_fails_and_nothing_forbids_it(case, control, age, is_served, failure):
    case.stale(b"Cache-Control: " + control, b'ETag: "a"', age=age)
    if failure:
        case.answers(status=failure, body=b"sorry")
    else:
        case.origin.answer(lambda connection, request: connection.close())
    answer = case.get()
    assert (answer.status == 200) is is_served
    if is_served:
        assert (answer.body, case.told(answer)) == (b"one", "hit; ttl=-; detail=origin-failed")


def test_a_failure_that_is_no_failure_of_the_origin_replaces_what_is_stale(case):
    case.stale()
    case.answers(status=b"404 Not Found", body=b"gone")
    assert case.get().status == 404


def test_a_response_that_says_nothing_of_caches_never_stands_in(case):
    case.answers(b"Last-Modified: " + case.ago(60), b"Date: " + case.ago(50))
    case.get()
    case.answers(status=b"503 Busy")
    assert case.get().status == 503


# -- while another is fetched --------------------------------------------------------------------------------


def test_a_stale_response_serves_while_a_fresh_one_is_fetched(case):
    case.stale(b"Cache-Control: max-age=10, stale-while-revalidate=60", b'ETag: "a"')
    held = Held(reply(b"two", b"Cache-Control: max-age=60"))
    case.origin.answer(held)
    for _ in range(3):
        answer = case.get()
        assert (answer.body, case.told(answer)) == (b"one", "hit; ttl=-")
    case.origin.wait_for_requests(2)
    held.released.set()
    wait_until(lambda: case.get().body == b"two")
    assert case.asked == 2
    assert case.origin.last.header("if-none-match") == b'"a"'


def test_a_stale_response_that_is_confirmed_in_the_background_is_fresh_again(case):
    case.stale(b"Cache-Control: max-age=10, stale-while-revalidate=60", b'ETag: "a"')
    case.confirms(b'ETag: "a"', b"Cache-Control: max-age=60")
    assert case.told(case.get()) == "hit; ttl=-"
    wait_until(lambda: case.told(case.get()) == "hit; ttl=")
    assert case.get().body == b"one"


def test_one_that_is_too_stale_waits_for_the_origin(case):
    case.stale(b"Cache-Control: max-age=10, stale-while-revalidate=20", b'ETag: "a"')
    case.answers(b"Cache-Control: max-age=60", body=b"two")
    assert case.get().body == b"two"


# -- invalidation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "FROB"])
def test_a_method_that_may_change_something_voids_what_is_stored(case, method):
    case.answers(b"Cache-Control: max-age=60")
    case.get()
    case.get("Content-Length: 0", method=method)
    assert case.told(case.get()).startswith("fwd=uri-miss")


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD"])
def test_a_safe_method_voids_nothing(case, method):
    case.answers(b"Cache-Control: max-age=60")
    case.get()
    case.get(method=method)
    assert case.told(case.get()) == "hit; ttl="


def test_one_that_failed_voids_nothing(case):
    case.answers(b"Cache-Control: max-age=60")
    case.get()
    case.answers(status=b"403 No")
    case.get("Content-Length: 0", method="POST")
    assert case.told(case.get()) == "hit; ttl="


@pytest.mark.parametrize("field", [b"Location", b"Content-Location"])
@pytest.mark.parametrize(
    ("origin", "is_void"), [(b"", True), (b"http://a.example", True), (b"http://b.example", False)]
)
def test_what_the_response_names_in_the_same_origin_is_void_too(case, field, origin, is_void):
    case.answers(b"Cache-Control: max-age=60")
    case.get()
    case.answers(field + b": " + origin + case.path.encode(), status=b"201 Created")
    case.get("Content-Length: 0", method="POST", path=case.path + "/other")
    case.answers(b"Cache-Control: max-age=60")
    assert case.told(case.get()).startswith("fwd=uri-miss") is is_void


def test_what_is_voided_while_it_is_fetched_is_not_stored(case):
    held = Held(reply(b"old", b"Cache-Control: max-age=60"))

    def answer(connection, request):
        if request.method == "GET":
            held(connection, request)
        else:
            connection.send(reply(b""))

    case.origin.answer(answer)
    first = Thread(target=case.get)
    first.start()
    case.origin.wait_for_requests(1)
    case.get("Content-Length: 0", method="POST")
    held.released.set()
    first.join()
    case.answers(b"Cache-Control: max-age=60", body=b"new")
    assert case.get().body == b"new"


def test_a_stale_response_stands_in_for_head_too(case):
    case.stale(b"Cache-Control: max-age=10, stale-if-error=600", b'ETag: "a"')
    case.origin.answer(reply(b"", status=b"503 Down"))
    answer = case.get(method="HEAD")
    assert (answer.status, answer.header("content-length")) == (200, b"3")
    assert case.told(answer) == "hit; ttl=-; detail=origin-failed"


# -- HEAD ----------------------------------------------------------------------------------------------------


def test_an_answer_to_head_that_is_about_the_same_bytes_freshens_what_is_stored(case):
    case.stale()
    case.answers_to_head(b'ETag: "a"', b"Content-Length: 3", b"Cache-Control: max-age=60", b"X-New: 2")
    assert case.told(case.get(method="HEAD")) == "fwd=stale; fwd-status=200"
    answer = case.get()
    assert (case.told(answer), answer.body, answer.header("x-new")) == ("hit; ttl=", b"one", b"2")
    assert case.asked == 2


@pytest.mark.parametrize(
    "fields",
    [
        (b'ETag: "b"', b"Content-Length: 3"),
        (b'ETag: "a"', b"Content-Length: 4"),
        (b'ETag: "a"', b"Content-Length: 3", b"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"),
    ],
)
def test_an_answer_to_head_that_is_about_other_bytes_makes_what_is_stored_stale(case, fields):
    case.answers(b"Cache-Control: max-age=600", b'ETag: "a"')
    case.get()
    case.answers_to_head(*fields, b"Cache-Control: max-age=60")
    assert case.told(case.get("Cache-Control: no-cache", method="HEAD")).startswith("fwd=request")
    case.confirms(b'ETag: "a"')
    assert case.told(case.get()).startswith("fwd=stale; fwd-status=304")
