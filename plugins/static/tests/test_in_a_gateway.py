"""Files through a real gateway: literal bytes in, literal bytes out, and no descriptor left behind."""

from __future__ import annotations

import hashlib
import os
import socket

import pytest

from gateway.testing import CutShort, GatewayDied, reply, run_command, site_text, wait_until

MIB = 1 << 20
BIG_BYTES = 64 * MIB


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "public"
    (folder / "docs").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>index</h1>")
    (folder / "hello.txt").write_text("hello")
    (folder / "docs" / "index.html").write_text("docs")
    (folder / "404.html").write_text("<h1>Lost</h1>")
    (folder / "502.html").write_text("<h1>Soon</h1>")
    (folder / "app.js").write_text("plain")
    (folder / "app.js.br").write_text("brotli")
    (folder / ".env").write_text("secret")
    (folder.parent / "secret").write_text("secret")
    (folder / "out").symlink_to("../secret")
    os.mkfifo(folder / "fifo")
    piece = os.urandom(MIB)
    with (folder / "big").open("wb") as file:
        for number in range(64):
            file.write(piece[number:] + piece[:number])
    return folder


@pytest.fixture(scope="module")
def app(module_origin):
    return module_origin(reply(b"from the origin"))


@pytest.fixture(scope="module")
def site(module_gateway, app, public):
    """One gateway, a host for each way to serve the directory."""
    pages = {"404": "404.html", "502": "502.html"}
    ways = {
        "plain": {},
        "pass": {"missing": "pass", "error_pages": pages, "intercept": True},
        "pages": {"error_pages": pages},
        "list": {"listing": True, "index": []},
        "spa": {"fallback": "/index.html"},
    }
    routes = [
        {"match": {"host": name}, "upstream": "app", "plugins": {"static": {"root": str(public), **way}}}
        for name, way in ways.items()
    ]
    return module_gateway(endpoints=[app], routes=routes)


@pytest.fixture
def ask(site):
    def send(target: str | bytes, *fields: bytes, host: bytes = b"plain", method: bytes = b"GET"):
        target = target.encode() if isinstance(target, str) else target
        lines = [method + b" " + target + b" HTTP/1.1", b"Host: " + host, *fields]
        return site.request(b"\r\n".join(lines) + b"\r\n\r\n", timeout=30)

    return send


def open_files(site, name: str) -> int:
    """How often the worker has a file open; -1 if it closed one while we looked."""
    (worker,) = site.workers
    try:
        files = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{worker}/fd")]
    except FileNotFoundError:
        return -1
    return sum(file.removesuffix(" (deleted)").endswith(name) for file in files)


def test_a_file_arrives_with_one_length(ask):
    for _ in range(2):
        answer = ask("/hello.txt")
        assert (answer.status, answer.body) == (200, b"hello")
        assert answer.header_all("content-length") == [b"5"]
        assert answer.header("content-type") == b"text/plain; charset=utf-8"


def test_head_has_the_length_and_no_body(site):
    with site.connect() as client:
        for path, length in ((b"/hello.txt", b"5"), (b"/big", b"%d" % BIG_BYTES)):
            answer = client.request(b"HEAD " + path + b" HTTP/1.1\r\nHost: plain\r\n\r\n")
            assert (answer.status, answer.header_all("content-length")) == (200, [length])
        assert client.request(b"GET /hello.txt HTTP/1.1\r\nHost: plain\r\n\r\n").body == b"hello"


def test_a_big_file_arrives_byte_for_byte_within_bounded_memory(ask, site, public):
    ask("/hello.txt")
    before = site.rss_bytes
    expected = hashlib.sha256((public / "big").read_bytes()).digest()
    for _ in range(2):
        answer = ask("/big")
        assert answer.content_length == BIG_BYTES
        assert hashlib.sha256(answer.body).digest() == expected
    assert site.rss_bytes - before < BIG_BYTES // 4
    wait_until(lambda: open_files(site, "/big") == 0)


def test_a_client_that_leaves_half_way_leaves_no_descriptor(site):
    for _ in range(4):
        with socket.create_connection(site.address) as client:
            client.sendall(b"GET /big HTTP/1.1\r\nHost: plain\r\n\r\n")
            assert client.recv(1000)
    wait_until(lambda: open_files(site, "/big") == 0)


def test_parts_of_a_big_file_arrive(ask, public, site):
    content = (public / "big").read_bytes()
    answer = ask("/big", b"Range: bytes=33333333-44444444")
    assert (answer.status, answer.body) == (206, content[33333333:44444445])
    assert answer.header("content-range") == b"bytes 33333333-44444444/%d" % BIG_BYTES
    assert ask("/big", b"Range: bytes=-7").body == content[-7:]
    answer = ask("/big", b"Range: bytes=0-9,1000000-1999999")
    assert answer.status == 206
    assert answer.content_length == len(answer.body)
    assert content[:10] in answer.body
    assert content[1000000:2000000] in answer.body
    answer = ask("/big", b"Range: bytes=%d-" % BIG_BYTES)
    assert (answer.status, answer.header("content-range")) == (416, b"bytes */%d" % BIG_BYTES)
    tag = ask("/big", method=b"HEAD").header("etag")
    assert ask("/big", b"Range: bytes=0-0", b"If-Range: " + tag).status == 206
    assert ask("/big", b"Range: bytes=0-0", b'If-Range: "other"').content_length == BIG_BYTES
    wait_until(lambda: open_files(site, "/big") == 0)


def test_conditions_save_the_body(ask):
    tag = ask("/hello.txt").header("etag")
    answer = ask("/hello.txt", b"If-None-Match: " + tag)
    assert (answer.status, answer.body, answer.header("etag")) == (304, b"", tag)
    assert answer.header("content-length") in (None, b"5")
    assert ask("/hello.txt", b'If-Match: "other"').status == 412


def test_a_variant_is_sent_to_those_who_accept_it(ask):
    answer = ask("/app.js", b"Accept-Encoding: gzip, br")
    assert (answer.body, answer.header("content-encoding")) == (b"brotli", b"br")
    assert (answer.header("vary"), ask("/app.js").header("vary")) == (b"accept-encoding", b"accept-encoding")
    assert ask("/app.js").body == b"plain"  # who says nothing of codings may know none
    assert ask("/app.js", b"Accept-Encoding: gzip").body == b"plain"


@pytest.mark.parametrize(
    "target",
    [
        b"/../secret", b"/docs/../../secret", b"/%2e%2e/secret", b"/..%2fsecret", b"/%2e%2e%2fsecret",
        b"/..%5csecret", b"/..\\secret", b"/%252e%252e/secret", b"/%c0%ae%c0%ae/secret", b"//etc/passwd",
        b"/%2fetc/passwd", b"/./../secret", b"/hello.txt%00", b"/hello.txt%00.html", b"/hello.txt/",
        b"/hello.txt/..", b"/docs/..", b"/.env", b"/%2eenv", b"/docs/../.env", b"/out", b"/fifo", b"/fifo/",
        b"/a" + b"b" * 300, b"/%ff%fe", b"/%", b"/..", b"/.", b"/...", b"/..;/secret", b"/docs//index.html",
        b"/%2e", b"/con%0d%0aX-Injected:%201",
    ],
)  # fmt: skip
def test_nothing_but_the_files_of_the_directory_is_ever_served(ask, target):
    for host in (b"plain", b"list", b"pages", b"spa"):
        answer = ask(target, host=host)
        assert answer.status in (400, 404), (host, answer.status)
        assert b"secret" not in answer.body.replace(b"request id", b"")
        assert answer.header("x-injected") is None


def test_an_absolute_form_target_is_a_path_like_any_other(site):
    answer = site.request(b"GET http://plain/hello.txt HTTP/1.1\r\nHost: plain\r\n\r\n")
    assert answer.body == b"hello"
    assert site.request(b"GET http://plain/../secret HTTP/1.1\r\nHost: plain\r\n\r\n").status in (400, 404)


def test_a_folder_is_redirected_and_has_an_index(ask):
    answer = ask("/docs?a=b")
    assert (answer.status, answer.header("location")) == (308, b"/docs/?a=b")
    assert ask("/docs/?a=b").body == b"docs"


def test_a_folder_is_listed_where_that_is_asked_for(ask):
    answer = ask("/", host=b"list")
    assert answer.header("content-type") == b"text/html; charset=utf-8"
    assert b'<a href="./hello.txt">hello.txt</a>' in answer.body
    assert not [name for name in (b".env", b"out<", b"fifo") if name in answer.body]
    answer = ask("/docs/", b"Accept: application/json", host=b"list")
    assert answer.header("content-type") == b"application/json"
    assert b'"name":"index.html"' in answer.body
    assert ask("/", host=b"pages").body == b"<h1>index</h1>"


def test_the_fallback_answers_navigations_alone(ask):
    assert ask("/orders/5", b"Accept: text/html", host=b"spa").body == b"<h1>index</h1>"
    assert ask("/orders/5", b"Accept: application/json", host=b"spa").status == 404


def test_what_is_not_there_goes_on_byte_for_byte(ask, app):
    for target in (b"/api/a%2Fb//c/../d?e=%00", b"/.env", b"/docs//"):
        answer = ask(target, host=b"pass")
        assert (answer.status, answer.body) == (200, b"from the origin")
        assert app.last.target == target
    assert ask("/hello.txt", b"Content-Length: 0", host=b"pass", method=b"POST").body == b"from the origin"
    assert ask("/hello.txt", host=b"pass").body == b"hello"
    answer = ask("/hello.txt", method=b"DELETE")
    assert (answer.status, answer.header("allow")) == (405, b"GET, HEAD")


def test_error_pages_have_the_status_of_the_error(ask):
    answer = ask("/none", host=b"pages")
    assert (answer.status, answer.body) == (404, b"<h1>Lost</h1>")
    assert answer.header("content-type") == b"text/html; charset=utf-8"
    answer = ask("/none", host=b"pages", method=b"HEAD")
    assert (answer.status, answer.header("content-length")) == (404, b"13")
    assert b"request id" in ask("/none").body


def test_error_pages_stand_in_for_those_of_the_upstream(ask, app):
    app.answer(reply(b"stack trace", b"X-Kept: yes", b'Etag: "x"', status=b"404 Not Found"))
    try:
        answer = ask("/api", host=b"pass")
        assert (answer.status, answer.body, answer.content_length) == (404, b"<h1>Lost</h1>", 13)
        assert (answer.header("x-kept"), answer.header("etag")) == (b"yes", None)
        app.answer(b"no http at all\r\n\r\n")
        answer = ask("/api", host=b"pass")
        assert (answer.status, answer.body) == (502, b"<h1>Soon</h1>")
    finally:
        app.answer(reply(b"from the origin"))


def test_who_began_to_read_a_file_gets_it_whole_though_it_is_replaced(site, public):
    old, new = os.urandom(MIB) * 16, os.urandom(MIB) * 16
    (public / "replaced").write_bytes(old)
    with site.connect(receive_buffer=8192) as client:
        client.send(b"GET /replaced HTTP/1.1\r\nHost: plain\r\n\r\n")
        wait_until(lambda: open_files(site, "/replaced") == 1)
        (public / "next").write_bytes(new)
        os.rename(public / "next", public / "replaced")
        assert client.read_response().body == old
    assert site.request(b"GET /replaced HTTP/1.1\r\nHost: plain\r\n\r\n").body == new


def test_a_file_that_becomes_shorter_is_cut_and_never_ends_cleanly(site, public):
    (public / "shrinking").write_bytes(os.urandom(MIB) * 16)
    with site.connect(receive_buffer=8192) as client:
        client.send(b"GET /shrinking HTTP/1.1\r\nHost: plain\r\n\r\n")
        wait_until(lambda: open_files(site, "/shrinking") == 1)
        os.truncate(public / "shrinking", MIB)
        with pytest.raises(CutShort):
            client.read_response()
    wait_until(lambda: open_files(site, "/shrinking") == 0)
    assert len(site.request(b"GET /shrinking HTTP/1.1\r\nHost: plain\r\n\r\n").body) == MIB


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"root": "./none"}, r"static.*root: .*none: No such file or directory; name a directory"),
        ({"root": ".", "error_pages": {"404": "none.html"}}, r"error_pages\.404: no file none\.html"),
    ],
)
def test_a_directory_or_a_page_that_is_not_there_stops_the_start(gateway, app, settings, message):
    with pytest.raises(GatewayDied, match=message):
        gateway(endpoints=[app], plugins=[{"use": "static", **settings}])


def test_a_root_that_is_not_there_fails_the_check(tmp_path):
    config = {"use": "static", "root": "none"}
    (tmp_path / "site.toml").write_text(site_text(["http://127.0.0.1:9"], plugins=[config]))
    done = run_command("check", "site.toml", directory=tmp_path)
    assert done.returncode == 2
    assert f"site.toml: plugins.static: root: {tmp_path}/none: No such file or directory; name a dir" in done.stderr
    (tmp_path / "none").mkdir()
    assert run_command("check", "site.toml", directory=tmp_path).returncode == 0
