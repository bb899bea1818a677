"""The profile reverse-proxy: cache, compression and files work together, in the documented order."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from gateway import App
from gateway.config.loader import installed_profiles, load
from gateway.testing import reply, run_command

PACKAGE = Path(__file__).parents[2] / "profiles" / "reverse-proxy"
ORDER = ["access-log", "request-id", "security-headers", "tls", "hide-upstream", "health", "headers", "cache"]
ORDER += ["compression", "persistence", "balancing", "discovery"]
TEXT = b"the same words again and again, " * 200
FRESH = (b"Cache-Control: max-age=60", b"Content-Type: text/plain", b'ETag: "a"')


@pytest.fixture(scope="module")
def app(module_origin):
    return module_origin(reply(TEXT, *FRESH))


@pytest.fixture(scope="module")
def site(module_gateway, app, tmp_path_factory):
    public = tmp_path_factory.mktemp("public")
    (public / "page.html").write_bytes(b"<p>" + TEXT)
    (public / "small.txt").write_bytes(b"small")
    return module_gateway(
        profile="reverse-proxy",
        upstreams={"app": {"endpoints": [app.url]}},
        workers=1,
        plugins={"static": {"root": str(public), "missing": "pass"}},
    )


def ask(site, path: str, *fields: str):
    lines = "".join(f"{field}\r\n" for field in ("Host: a.example", *fields))
    return site.request(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())


def test_plugins_stand_in_the_documented_order():
    assert installed_profiles()["reverse-proxy"].value == "gateway_profile_reverse_proxy"
    app = App(load("reverse-proxy", listen=["127.0.0.1:0"], upstream=["http://127.0.0.1:1"]))
    (route,) = app.router.routes
    assert [name for name, _ in route.pipeline.plugins] == ORDER
    readme = (PACKAGE / "README.md").read_text()
    assert re.findall(r"^\| `([a-z-]+)` \| ", readme, re.MULTILINE)[: len(ORDER)] == ORDER


def test_the_cache_stores_what_is_encoded_once_for_each_coding(site, app):
    before = len(app.requests)
    for _ in range(2):
        answer = ask(site, "/encoded", "Accept-Encoding: gzip")
        assert (answer.header("content-encoding"), gzip.decompress(answer.body)) == (b"gzip", TEXT)
        assert answer.header("vary") == b"Accept-Encoding"
        assert answer.header("etag") == b'W/"a"'
        plain = ask(site, "/encoded")
        assert (plain.header("content-encoding"), plain.body) == (None, TEXT)
    assert len(app.requests) == before + 2
    assert b"; hit;" in answer.header("cache-status")
    assert ask(site, "/encoded", "Accept-Encoding: gzip;q=0.9, x-other").header("content-encoding") == b"gzip"
    assert len(app.requests) == before + 2


def test_a_validator_of_an_encoded_response_is_good_for_it(site):
    etag = ask(site, "/validated", "Accept-Encoding: gzip").header("etag").decode()
    assert ask(site, "/validated", "Accept-Encoding: gzip", f"If-None-Match: {etag}").status == 304


def test_files_are_served_and_what_is_not_there_goes_to_the_application(site, app):
    before = len(app.requests)
    assert ask(site, "/small.txt").body == b"small"
    page = ask(site, "/page.html", "Accept-Encoding: gzip")
    assert gzip.decompress(page.body) == b"<p>" + TEXT
    assert len(app.requests) == before
    assert ask(site, "/not-there").body == TEXT
    assert len(app.requests) == before + 1


def test_a_file_that_changes_is_seen_at_once_though_its_encoded_form_is_stored(site, tmp_path, gateway):
    public = tmp_path / "public"
    public.mkdir()
    page = public / "page.html"
    page.write_bytes(b"<p>old" + TEXT)
    files = {"root": str(public), "check_interval": 0}
    other = gateway(
        profile="reverse-proxy", workers=1, plugins={"static": files}, routes=[{"respond": {"status": 404}}]
    )
    for _ in range(2):
        answer = ask(other, "/page.html", "Accept-Encoding: gzip")
        assert gzip.decompress(answer.body) == b"<p>old" + TEXT
    assert b"fwd=stale; fwd-status=304" in answer.header("cache-status")
    page.write_bytes(b"<p>fresh" + TEXT)
    assert gzip.decompress(ask(other, "/page.html", "Accept-Encoding: gzip").body) == b"<p>fresh" + TEXT


def test_the_command_line_takes_a_folder_with_and_without_an_upstream(tmp_path):
    (tmp_path / "public").mkdir()
    words = ["reverse-proxy", "--listen", "127.0.0.1:0", "--root", "public"]
    alone = run_command("check", *words, directory=tmp_path)
    assert alone.returncode == 0, alone.stderr
    assert "→ static" in alone.stdout
    both = run_command("check", *words, "--upstream", "http://127.0.0.1:9001", directory=tmp_path)
    assert "upstream app" in both.stdout
    assert "→ static" in both.stdout
    missing = run_command("check", *words[:-1], "nowhere", directory=tmp_path)
    assert missing.returncode == 2


def test_of_files_only_what_is_encoded_is_stored(site):
    """To send a file anew costs less than to see whether it is still the same; to encode it anew does not."""
    told = b"gateway; fwd=uri-miss; fwd-status=200"
    assert [ask(site, "/small.txt").header("cache-status") for _ in range(2)] == [told] * 2
    page = [ask(site, "/page.html?1", "Accept-Encoding: br").header("cache-status") for _ in range(2)]
    assert page == [told + b"; stored", b"gateway; fwd=stale; fwd-status=304; stored"]
