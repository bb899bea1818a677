"""Purge by URL, prefix and tag: by command, and by a request that brings the secret."""

from __future__ import annotations

import pytest

from gateway.testing import reply, wait_until

FRESH = b"Cache-Control: max-age=60"


@pytest.fixture(scope="module")
def purging(module_gateway, module_origin):
    app = module_origin(reply(b"one", FRESH, b"Surrogate-Key: a b", b"Cache-Tag: c, d"))
    return module_gateway(endpoints=[app], workers=2, plugins=[{"use": "cache", "purge_secret": "s3cret"}])


def is_stored(site, path: str) -> bool:
    request = f"GET {path} HTTP/1.1\r\nHost: a.example\r\nCache-Control: only-if-cached\r\n\r\n".encode()
    return site.request(request).status == 200


def store(site, *paths: str) -> None:
    """Until each of the workers that answer has it."""
    for path in paths:
        site.request(f"GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n".encode())
        wait_until(lambda path=path: is_stored(site, path))


def is_gone(site, path: str) -> bool:
    return not any(is_stored(site, path) for _ in range(6))


@pytest.mark.parametrize(
    "words",
    [
        ["http://a.example/blog/1"],
        ["--prefix", "http://a.example/blog/"],
        ["--tag", "b"],
        ["--tag", "nobody", "--tag", "d"],
        ["--all"],
    ],
)
def test_the_command_forgets_what_it_names(purging, words):
    store(purging, "/blog/1")
    done = purging.command("purge", *words)
    assert done.returncode == 0, done.stderr
    assert "stored response" in done.stdout
    assert is_gone(purging, "/blog/1")


def test_a_url_is_taken_as_a_person_writes_it(purging):
    store(purging, "/caf%C3%A9?q=a%20b")
    assert purging.command("purge", "http://A.example:80/café?q=a b").returncode == 0
    assert is_gone(purging, "/caf%C3%A9?q=a%20b")


@pytest.mark.parametrize("words", [["http://b.example/blog/1"], ["http://a.example/blog"], ["--tag", "x"]])
def test_the_command_leaves_what_it_does_not_name(purging, words):
    store(purging, "/blog/1")
    assert purging.command("purge", *words).returncode == 0
    wait_until(lambda: is_stored(purging, "/blog/1"))


def test_the_command_refuses_what_is_no_url_and_asks_for_something(purging):
    done = purging.command("purge", "/blog/1")
    assert done.returncode == 2
    assert "expected a URL such as https://example.com/path, not '/blog/1'" in done.stderr
    assert purging.command("purge").returncode == 2


@pytest.mark.parametrize(
    ("target", "fields"),
    [("/blog/1", ""), ("/blog/*", ""), ("/", "Surrogate-Key: x a\r\n"), ("/", "Cache-Tag: c\r\n")],
)
def test_a_request_with_the_secret_forgets_what_it_names(purging, target, fields):
    store(purging, "/blog/1")
    ask = f"PURGE {target} HTTP/1.1\r\nHost: a.example\r\nAuthorization: Bearer s3cret\r\n{fields}\r\n"
    assert purging.request(ask.encode()).status == 200
    wait_until(lambda: is_gone(purging, "/blog/1"))


@pytest.mark.parametrize("field", ["", "Authorization: Bearer wrong\r\n", "Authorization: s3cret\r\n"])
def test_a_request_without_the_secret_is_refused(purging, field):
    store(purging, "/blog/2")
    assert purging.request(f"PURGE /blog/2 HTTP/1.1\r\nHost: a.example\r\n{field}\r\n".encode()).status == 403
    wait_until(lambda: is_stored(purging, "/blog/2"))


def test_a_command_that_nobody_knows_is_refused(gateway, origin):
    site = gateway(endpoints=[origin()])
    done = site.command("purge", "--all")
    assert done.returncode == 2
    assert "no plugin of the running gateway knows the command 'purge'" in done.stderr
