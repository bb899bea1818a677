"""What is sent for a path: files, folders, codings, conditions, ranges, caches; asked in this process."""

from __future__ import annotations

import asyncio
import gzip
import os

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import ClientError, FileBody
from gateway.semantics import format_date

YEAR_2020 = 1_577_836_800
HTML = {"accept": "text/html,*/*;q=0.8"}
LARGE = {"memory_file": "16B"}


def write(path, text: str | bytes, time: float = YEAR_2020) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(path, (time, time))


async def status_of(asked) -> int:
    try:
        answer = await asked
    except ClientError as error:
        return error.status
    return answer.status if answer is not None else 0


@pytest.fixture(params=["memory", "disk"])
def kept(request):
    """Settings under which files are held in memory, and such under which they are read when they are sent."""
    return {} if request.param == "memory" else LARGE


# -- files --------------------------------------------------------------------------------------------------------


async def test_a_file_is_sent_with_its_type_and_validators(serve, public, read, kept):
    write(public / "a.html", "<p>" + "hello" * 10)
    asked = await serve(**kept)
    answer = await asked("/a.html")
    assert (answer.status, await read(answer)) == (200, b"<p>" + b"hello" * 10)
    assert answer.headers.get("content-type") == b"text/html; charset=utf-8"
    assert answer.headers.get("last-modified") == b"Wed, 01 Jan 2020 00:00:00 GMT"
    assert answer.headers.get("accept-ranges") == b"bytes"
    assert answer.headers.get("x-content-type-options") == b"nosniff"
    assert answer.headers.get("etag")[:1] == b'"'
    assert answer.headers.get("vary") is None


async def test_a_file_in_memory_is_answered_without_waiting_and_with_headers_of_its_own(serve, public):
    write(public / "a", "x")
    asked = await serve(check_interval="1h")
    first = await asked("/a")
    first.headers.set("x-changed", "yes")
    second = await asked("/a")
    assert asked.waits == 1
    assert second.headers.get("x-changed") is None
    assert first.headers.raw is not second.headers.raw


async def test_head_is_get_without_the_body(serve, public, kept):
    write(public / "a", "x" * 100)
    asked = await serve(**kept)
    whole, head = await asked("/a"), await asked("/a", method="HEAD")
    assert head.body == b""
    assert head.headers.get("content-length") == b"100"
    lengthless = [field for field in head.headers if field[0] != b"content-length"]
    assert lengthless == [field for field in whole.headers if field[0] != b"content-length"]
    assert (await asked("/a", {"range": "bytes=0-1"}, method="HEAD")).status == 200


async def test_an_empty_file_is_sent(serve, public, read):
    write(public / "a", "")
    for options in ({}, {"memory": 0}):
        answer = await (await serve(**options))("/a")
        assert (answer.status, await read(answer)) == (200, b"")


async def test_types_do_not_depend_on_the_host(serve, public):
    names = {
        "a.JS": b"text/javascript; charset=utf-8", "a.wasm": b"application/wasm", "a.json": b"application/json",
        "a.woff2": b"font/woff2", "a.tar.gz": b"application/gzip", "a.odd": b"application/x-odd",
        "a.md": b"text/plain; charset=ascii",
        "noending": b"application/octet-stream", "a.unknown9": b"application/octet-stream",
    }  # fmt: skip
    asked = await serve(types={"odd": "application/x-odd", ".md": "text/plain; charset=ascii"})
    for name, kind in names.items():
        write(public / name, "x")
        assert (await asked(f"/{name}")).headers.get("content-type") == kind
    asked = await serve(charset="")
    assert (await asked("/a.JS")).headers.get("content-type") == b"text/javascript"


async def test_cache_control_follows_the_first_pattern_that_fits(serve, public):
    for name in ("app.css", "assets/deep/app.css", "other.txt", "index.html"):
        write(public / name, "x")
    asked = await serve(cache={"/assets/*": "immutable", "*.css": "max-age=3600", "*.html": "no-cache"})
    found = {path: (await asked(path)).headers.get("cache-control")
             for path in ("/app.css", "/assets/deep/app.css", "/other.txt", "/")}  # fmt: skip
    assert found == {
        "/app.css": b"max-age=3600", "/assets/deep/app.css": b"immutable", "/other.txt": None, "/": b"no-cache",
    }  # fmt: skip


async def test_roots_are_tried_in_order(serve, public, tmp_path, read):
    write(tmp_path / "second" / "a", "second")
    write(tmp_path / "second" / "b", "second")
    write(public / "a", "first")
    asked = await serve(root=[str(public), str(tmp_path / "second")])
    assert [await read(await asked(path)) for path in ("/a", "/b")] == [b"first", b"second"]


async def test_a_prefix_is_taken_off(serve, public, read):
    write(public / "a", "x")
    write(public / "index.html", "index")
    asked = await serve(strip_prefix="/assets/")
    assert await read(await asked("/assets/a")) == b"x"
    assert (await asked("/assets?q")).headers.get("location") == b"/assets/?q"
    assert await status_of(asked("/a")) == 404


# -- what is not there --------------------------------------------------------------------------------------------


async def test_what_is_not_there_is_404_or_goes_on(serve, public):
    write(public / "a", "x")
    write(public / ".env", "x")
    (public / "folder").mkdir()
    for path in ("/b", "/a/", "/a/b", "/.env", "/folder", "/folder/", "/../secret", "/%2e%2e/secret", "//a"):
        assert await status_of((await serve())(path)) == 404
        assert await (await serve(missing="pass"))(path) is None


async def test_other_methods_are_refused_or_go_on(serve, public):
    write(public / "a", "x")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"):
        answer = await (await serve())("/a", method=method)
        assert (answer.status, answer.headers.get("allow")) == (405, b"GET, HEAD")
        assert await (await serve(missing="pass"))("/a", method=method) is None


async def test_a_websocket_goes_on(serve, public):
    write(public / "a", "x")
    assert await (await serve(missing="pass"))("/a", scheme="ws") is None


async def test_the_fallback_is_for_navigations(serve, public, read):
    write(public / "index.html", "application")
    asked = await serve(fallback="/index.html", missing="pass")
    answer = await asked("/orders/5", HTML)
    assert (answer.status, await read(answer), answer.headers.get("vary")) == (200, b"application", b"accept")
    assert await asked("/orders/5", {"accept": "*/*"}) is None
    assert await asked("/orders/5", HTML, method="POST") is None
    (public / "index.html").unlink()
    assert await (await serve(fallback="/index.html", missing="pass"))("/x", HTML) is None
    assert await status_of((await serve(fallback="/index.html"))("/x", HTML)) == 404


async def test_the_fallback_varies_by_coding_too(serve, public):
    write(public / "index.html", "application")
    write(public / "index.html.gz", gzip.compress(b"application"))
    asked = await serve(fallback="/index.html")
    answer = await asked("/x", {**HTML, "accept-encoding": "gzip"})
    assert answer.headers.get_all("vary") == [b"accept-encoding, accept"]
    assert answer.headers.get("content-encoding") == b"gzip"


async def test_further_names_are_tried(serve, public, read):
    write(public / "about.html", "about")
    asked = await serve(try_files=["{path}.html", "none", "/about.html"])
    for path in ("/about", "/about/", "/else"):
        assert await read(await asked(path)) == b"about"


# -- folders ------------------------------------------------------------------------------------------------------


async def test_a_folder_has_an_index(serve, public, read):
    write(public / "docs" / "b.html", "b")
    asked = await serve(index=["a.html", "b.html"])
    assert await read(await asked("/docs/")) == b"b"


async def test_a_folder_without_its_slash_is_redirected_with_the_query(serve, public):
    write(public / "d%o cs" / "index.html", "x")
    answer = await (await serve())("/d%25o%20cs?a=b&c=%2F")
    assert (answer.status, answer.headers.get("location")) == (308, b"/d%25o%20cs/?a=b&c=%2F")


@pytest.mark.parametrize("path", ["//evil.com", "/\\evil.com", "/%5cevil.com", "//evil.com/..", "/%2fevil.com"])
async def test_no_redirect_leads_to_another_host(serve, public, path):
    write(public / "evil.com" / "index.html", "x")
    assert await status_of((await serve())(path)) == 404


async def test_a_listing_has_what_would_be_served(serve, public, read, tmp_path):
    write(public / "<b>&.txt", "12345")
    write(public / "a b" / "x", "x")
    write(public / ".hidden", "x")
    write(public / "javascript:alert(1)", "x")
    (public / "out").symlink_to(tmp_path / "secret")
    os.mkfifo(public / "fifo")
    (public / os.fsdecode(b"\xff")).write_text("x")
    asked = await serve(listing=True)
    answer = await asked("/")
    page = (await read(answer)).decode()
    assert answer.headers.get("content-type") == b"text/html; charset=utf-8"
    assert '<a href="./%3Cb%3E%26.txt">&lt;b&gt;&amp;.txt</a>' in page
    assert '<a href="./a%20b/">a b/</a>' in page
    assert 'href="./javascript%3Aalert%281%29"' in page
    assert not any(name in page for name in ("hidden", "out", "fifo", "../"))
    assert 'href="../"' in (await read(await asked("/a%20b/"))).decode()
    listed = orjson.loads(await read(await asked("/", {"accept": "application/json"})))
    assert [row["name"] for row in listed] == ["a b", "<b>&.txt", "javascript:alert(1)"]
    assert listed[1] == {"name": "<b>&.txt", "type": "file", "size": 5, "modified": "2020-01-01T00:00:00Z"}
    head = await asked("/", method="HEAD")
    assert (head.body, head.headers.get("content-length")) == (b"", b"%d" % len(page.encode()))


# -- codings ------------------------------------------------------------------------------------------------------


@pytest.fixture
def script(public):
    """A script with all its variants, each of them as old as it is."""
    write(public / "app.js", "plain" * 10)
    for ending in ("zst", "br", "gz"):
        write(public / f"app.js.{ending}", ending * 20)
    return public / "app.js"


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (None, None),
        ("gzip", b"gzip"),
        ("gzip, br", b"br"),
        ("gzip, br, zstd", b"zstd"),
        ("gzip;q=1, br;q=0.5", b"gzip"),
        ("br;q=0", None),
        ("identity, gzip;q=0.5", None),
        ("*", b"zstd"),
        ("identity;q=0, *;q=0", None),
        ("deflate", None),
    ],
)
@pytest.mark.usefixtures("script")
async def test_the_variant_that_the_client_likes_best_is_sent(serve, read, accept, coding, kept):
    asked = await serve(**kept)
    answer = await asked("/app.js", {"accept-encoding": accept} if accept else None)
    expected = {b"zstd": b"zst" * 20, b"br": b"br" * 20, b"gzip": b"gz" * 20, None: b"plain" * 10}
    assert answer.headers.get("vary") == b"accept-encoding"
    assert answer.headers.get("content-type") == b"text/javascript; charset=utf-8"
    if accept is None:  # anything will do for one that says nothing (RFC 9110 12.5.3)
        assert answer.headers.get("content-encoding") in expected
        return
    assert answer.headers.get("content-encoding") == coding
    assert await read(answer) == expected[coding]


async def test_each_variant_has_an_etag_of_its_own(serve, script, kept):
    asked = await serve(**kept)
    tags = {(await asked("/app.js", {"accept-encoding": coding})).headers.get("etag")
            for coding in ("identity", "gzip", "br", "zstd")}  # fmt: skip
    assert len(tags) == 4


async def test_a_variant_that_is_older_than_its_original_is_not_sent(serve, script):
    os.utime(script, (YEAR_2020 + 5, YEAR_2020 + 5))
    os.utime(f"{script}.gz", (YEAR_2020 + 5.5, YEAR_2020 + 5.5))
    answer = await (await serve())("/app.js", {"accept-encoding": "br, gzip;q=0.5"})
    assert answer.headers.get("content-encoding") == b"gzip"


async def test_no_variant_is_sent_without_an_original_or_if_it_is_not_wanted(serve, script):
    asked = await serve(precompressed=[])
    answer = await asked("/app.js", {"accept-encoding": "br"})
    assert (answer.headers.get("content-encoding"), answer.headers.get("vary")) == (None, None)
    script.unlink()
    assert await status_of((await serve())("/app.js", {"accept-encoding": "br"})) == 404


# -- conditions and ranges ----------------------------------------------------------------------------------------


async def test_conditions_are_evaluated_in_their_order(serve, public, kept):
    write(public / "a", "x" * 50)
    asked = await serve(cache={"*": "max-age=5"}, **kept)
    tag = (await asked("/a")).headers.get("etag").decode()
    same, before, later = (format_date(YEAR_2020 + seconds).decode() for seconds in (0, -1, 1))
    cases = [
        ({"if-none-match": tag}, 304),
        ({"if-none-match": f'"x", W/{tag}'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"x"'}, 200),
        ({"if-none-match": '"x"', "if-modified-since": later}, 200),
        ({"if-modified-since": same}, 304),
        ({"if-modified-since": before}, 200),
        ({"if-modified-since": "yesterday"}, 200),
        ({"if-match": tag}, 200),
        ({"if-match": f"W/{tag}"}, 412),
        ({"if-match": '"x"'}, 412),
        ({"if-match": tag, "if-unmodified-since": before}, 200),
        ({"if-match": tag, "if-none-match": tag}, 304),
        ({"if-unmodified-since": before}, 412),
        ({"if-unmodified-since": same}, 200),
        ({"if-none-match": tag, "range": "bytes=0-1"}, 304),
        ({"if-match": '"x"', "range": "bytes=0-1"}, 412),
    ]
    for headers, status in cases:
        for method in ("GET", "HEAD"):
            assert await status_of(asked("/a", headers, method=method)) == status, headers
    answer = await asked("/a", {"if-none-match": tag})
    assert [name for name, _ in answer.headers] == [b"cache-control", b"etag", b"last-modified"]


async def test_parts_are_sent(serve, public, read, kept):
    write(public / "a.txt", bytes(range(100)))
    asked = await serve(**kept)
    tag = (await asked("/a.txt")).headers.get("etag").decode()
    answer = await asked("/a.txt", {"range": "bytes=10-19"})
    assert (answer.status, await read(answer)) == (206, bytes(range(10, 20)))
    assert answer.headers.get("content-range") == b"bytes 10-19/100"
    assert answer.headers.get("etag") == tag.encode()
    assert await read(await asked("/a.txt", {"range": "bytes=-5"})) == bytes(range(95, 100))
    answer = await asked("/a.txt", {"range": "bytes=100-"})
    assert (answer.status, answer.headers.get("content-range")) == (416, b"bytes */100")
    answer = await asked("/a.txt", {"range": "bytes=0-1,98-"})
    body = await read(answer)
    assert answer.headers.get("content-type").startswith(b"multipart/byteranges; boundary=")
    assert b"Content-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 98-99/100\r\n\r\nbc\r\n" in body
    for value, status in (
        (tag, 206), ('"x"', 200), (f"W/{tag}", 200), (format_date(YEAR_2020).decode(), 206),
        (format_date(YEAR_2020 + 1).decode(), 200),
    ):  # fmt: skip
        assert (await asked("/a.txt", {"range": "bytes=0-1", "if-range": value})).status == status, value


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.from_regex(r"\Abytes=([0-9]{0,3}-[0-9]{0,3})(,[0-9]{0,3}-[0-9]{0,3}){0,3}\Z"))
async def test_whatever_the_range_memory_and_disk_say_the_same(serve, public, read, value):
    write(public / "a", bytes(range(200)))
    answers = [await (await serve(**options))("/a", {"range": value}) for options in ({}, LARGE)]
    assert answers[0].status == answers[1].status
    one, other = [await read(answer) for answer in answers]
    if answers[0].headers.get("content-type").startswith(b"multipart/") if answers[0].status == 206 else False:
        one, other = (body.replace(body[2:34], b"") for body in (one, other))
    assert one == other


# -- change -------------------------------------------------------------------------------------------------------


async def test_a_file_that_is_replaced_is_seen_at_the_next_look(serve, public, read, kept):
    write(public / "a", "old" * 10)
    asked = await serve(check_interval=0, **kept)
    first = await asked("/a")
    write(public / "new", "new" * 10)
    os.rename(public / "new", public / "a")
    second = await asked("/a")
    assert [await read(first), await read(second)] == [b"old" * 10, b"new" * 10]
    if not kept:  # of content; by size and time they are the same
        assert first.headers.get("etag") != second.headers.get("etag")


async def test_a_file_is_not_looked_at_again_within_the_interval(serve, public, read):
    write(public / "a", "old")
    asked = await serve(check_interval="1h")
    await asked("/a")
    write(public / "a", "new")
    assert await read(await asked("/a")) == b"old"
    assert asked.waits == 1


async def test_a_large_file_that_is_replaced_within_the_interval_is_sent_as_it_is_now(serve, public, read):
    write(public / "a", "old" * 10)
    asked = await serve(check_interval="1h", **LARGE)
    tag = (await asked("/a")).headers.get("etag").decode()
    write(public / "a", "newer" * 10, YEAR_2020 + 1)
    answer = await asked("/a")
    assert (answer.headers.get("content-length"), await read(answer)) == (b"50", b"newer" * 10)
    assert answer.headers.get("etag") != tag.encode()
    answer = await asked("/a", {"range": "bytes=0-1", "if-range": tag})
    assert (answer.status, await read(answer)) == (200, b"newer" * 10)


async def test_a_large_file_that_is_gone_within_the_interval_is_missing(serve, public):
    write(public / "a", "old" * 10)
    asked = await serve(check_interval="1h", **LARGE)
    await asked("/a")
    (public / "a").unlink()
    assert await status_of(asked("/a")) == 404


async def test_a_file_that_was_just_written_is_read_again_although_its_times_are_the_same(
    serve, public, monkeypatch
):
    write(public / "a", "old")
    asked = await serve(check_interval=0)
    await asked("/a")
    found = asked.plugin._held._found["a"].found
    assert found.plain.is_young
    again = await asked.plugin._held.find("a", 0.0)
    assert again.plain is not found.plain


async def test_a_file_without_a_time_that_says_something_has_no_last_modified(serve, public):
    write(public / "a", "x" * 30, 1)
    answer = await (await serve(**LARGE))("/a")
    assert answer.headers.get("last-modified") is None
    first = answer.headers.get("etag")
    write(public / "a", "y" * 30, 1)
    assert (await (await serve(**LARGE))("/a")).headers.get("etag") != first


async def test_last_modified_is_never_in_the_future(serve, public):
    write(public / "a", "x", 4_000_000_000)
    answer = await (await serve())("/a")
    assert answer.headers.get("last-modified") < b"Z"
    assert b"2096" not in answer.headers.get("last-modified")


async def test_many_who_ask_for_the_same_file_at_once_cause_one_look(serve, public, read, monkeypatch):
    write(public / "a", "x")
    asked = await serve()
    looks = []
    find = asked.plugin._finder.find
    monkeypatch.setattr(asked.plugin._finder, "find", lambda *given: looks.append(given) or find(*given))
    answers = await asyncio.gather(*(asked("/a") for _ in range(20)))
    assert [await read(answer) for answer in answers] == [b"x"] * 20
    assert len(looks) == 1


async def test_one_who_gives_up_waiting_does_not_take_the_others_along(serve, public):
    write(public / "a", "x")
    asked = await serve()
    impatient, patient = asyncio.create_task(asked("/a")), asyncio.create_task(asked("/a"))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).status == 200


# -- bounds -------------------------------------------------------------------------------------------------------


async def test_memory_is_bounded_by_bytes_and_names(serve, public):
    for number in range(40):
        write(public / f"{number}", "x" * 1000)
    asked = await serve(memory="10kB", check_interval="1h")
    for number in range(40):
        await asked(f"/{number}")
        await status_of(asked(f"/none{number}"))
    held = asked.plugin._held
    assert held.bytes == 10_000
    assert "10 names" in repr(asked.plugin)
    asked = await serve(max_names=16, check_interval="1h")
    for number in range(40):
        await asked(f"/{number}")
        await status_of(asked(f"/none{number}"))
    assert "16 names, 16 missing" in repr(asked.plugin)


async def test_a_file_larger_than_memory_allows_is_read_when_it_is_sent(serve, public):
    write(public / "a", "x" * 1000)
    for options in ({"memory": "900B"}, {"memory_file": "900B"}):
        assert isinstance((await (await serve(**options))("/a")).body, FileBody)


async def test_a_failure_of_the_system_is_no_missing_file(serve, public, monkeypatch):
    def broken(*_):
        raise OSError(24, "too many open files")

    asked = await serve()
    monkeypatch.setattr("gateway_static.roots.Root.opened", broken)
    with pytest.raises(OSError, match="too many"):
        await asked("/a")


async def test_what_may_not_be_read_is_403_and_does_not_go_on(serve, public, monkeypatch):
    def forbidden(*_):
        raise PermissionError(13, "permission denied")

    write(public / "a", "x")
    asked = await serve(missing="pass")
    monkeypatch.setattr("gateway_static.roots.Tree.open", forbidden)
    assert await status_of(asked("/a")) == 403
