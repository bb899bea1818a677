"""compression in a running gateway: what clients and endpoints see, in streams, and when things break."""

from __future__ import annotations

import gzip
import random
import subprocess
import zlib
from collections.abc import Iterator

import pytest
from gateway_compression.libraries import brotli, zstd

from gateway.testing import CutShort, reply, wait_until

MIB = 1 << 20
WORDS = [b"the", b"quick", b"brown", b"fox", b"jumps", b"over", b"a", b"lazy", b"dog", b"and", b"then", b"sleeps"]
TEXT = b" ".join(random.Random(5).choices(WORDS, k=4000))
HTML = b"Content-Type: text/html; charset=utf-8"
EVERYTHING = b"Accept-Encoding: gzip, deflate, br, zstd"

DECODE = {
    b"gzip": gzip.decompress,
    b"br": brotli.decompress,
    b"zstd": zstd.decompress,
}

OTHERS = '''
from gateway import Response, hookimpl


class Keeping:
    """Keeps what it sees of a body and its fields, the way a cache does."""

    def __init__(self):
        self._kept = {}

    @hookimpl
    def on_request(self, exchange):
        if exchange.request.raw_path in self._kept:
            fields, pieces = self._kept[exchange.request.raw_path]
            return Response(200, fields, b"".join(pieces))

    @hookimpl
    def on_response(self, exchange, response):
        self._fields = [field for field in response.headers.raw if field[0] != b"content-length"]

    @hookimpl
    def wrap_response_body(self, exchange, body):
        return self._keep(exchange.request.raw_path, body)

    async def _keep(self, path, body):
        pieces = []
        fields = self._fields
        async for piece in body:
            pieces.append(piece)
            yield piece
        self._kept[path] = fields, pieces


class Answering:
    @hookimpl
    def on_request(self, exchange):
        exchange.request.headers.remove("accept-encoding")
        if exchange.request.raw_path == b"/large":
            return Response(200, {"content-type": "text/plain"}, b"0123456789abcdef" * 65536)

    @hookimpl
    def on_error(self, exchange, error):
        return Response(502, {"content-type": "text/html"}, b"<p>sorry</p>" * 1000)
'''


def decoded(response) -> bytes:
    """The body, by a decoder that is not ours."""
    return DECODE[response.header("content-encoding")](response.body)


def chunked(*pieces: bytes, fields: tuple[bytes, ...] = (HTML,), end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"\r\n".join((b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", *fields))
    return head + b"\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


@pytest.fixture(scope="module")
def app(module_origin):
    return module_origin()


@pytest.fixture(scope="module")
def site(module_gateway, app):
    plugins = ["compression", {"use": "others.py:Answering"}]
    return module_gateway(endpoints=[app], plugins=plugins, files={"others.py": OTHERS})


@pytest.fixture(scope="module")
def decoding(module_gateway, app):
    return module_gateway(endpoints=[app], plugins=[{"use": "compression", "decode": True, "max_ratio": 100}])


@pytest.mark.parametrize("coding", [b"zstd", b"br", b"gzip"])
@pytest.mark.parametrize("size", [1024, len(TEXT), 400_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_each_coding_decodes_to_the_original(site, app, coding, size, framing):
    body = (TEXT * 30)[:size]
    app.reset(reply(body, HTML, b'ETag: "a"') if framing == "length" else chunked(body[:99], body[99:]))
    response = site.get("/", b"Accept-Encoding: " + coding)
    assert response.header("content-encoding") == coding
    assert response.header("vary") == b"Accept-Encoding"
    assert decoded(response) == body
    assert len(response.body) < size * 0.7
    if framing == "length":
        assert response.header("etag") == b'W/"a"'


def test_a_small_whole_body_keeps_a_length(site, app):
    app.reset(reply(TEXT, HTML))
    assert site.get("/", EVERYTHING).content_length


def test_an_independent_program_reads_our_gzip(site, app):
    app.reset(chunked(TEXT))
    packed = site.get("/", b"Accept-Encoding: gzip").body
    done = subprocess.run(["gzip", "-dc"], input=packed, capture_output=True, check=True)
    assert done.stdout == TEXT


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ((), reply(TEXT, HTML)),
        ((b"Accept-Encoding: identity;q=0",), reply(TEXT, HTML)),
        ((EVERYTHING, b"Cache-Control: no-transform"), reply(TEXT, HTML)),
        ((EVERYTHING, b"Range: bytes=0-"), reply(TEXT, HTML, b"Content-Range: bytes 0-9/9", status=b"206 Partial")),
    ],
)
def test_who_gets_it_as_it_is_learns_that_others_do_not(site, app, fields, answer):
    app.reset(answer)
    response = site.get("/", *fields)
    assert response.body == TEXT
    assert response.header("content-encoding") is None
    assert response.header("vary") == b"Accept-Encoding"


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"x" * 1023, HTML),
        reply(TEXT, b"Content-Type: image/png"),
        reply(TEXT),
        reply(TEXT, HTML, b"Cache-Control: public, No-Transform"),
        reply(gzip.compress(TEXT), HTML, b"Content-Encoding: gzip"),
    ],
)
def test_what_nobody_gets_encoded_passes_as_it_came(site, app, answer):
    app.reset(answer)
    response = site.get("/", EVERYTHING)
    assert response.body == answer.partition(b"\r\n\r\n")[2]
    assert response.header("vary") is None


def test_head_says_what_get_would(site, app):
    app.reset(
        b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nAccept-Ranges: bytes\r\nETag: "a"\r\n' + HTML + b"\r\n\r\n"
    )
    response = site.request(b"HEAD / HTTP/1.1\r\nHost: a\r\n" + EVERYTHING + b"\r\n\r\n")
    assert response.header("content-encoding") == b"zstd"
    assert response.header("etag") == b'W/"a"'
    assert response.header("vary") == b"Accept-Encoding"
    assert response.header("content-length") is response.header("accept-ranges") is None


def conditional(connection, request):
    """An origin with the ETag "a" that compares as the RFC says."""
    if request.header("if-none-match") in (b'"a"', b'W/"a"'):
        connection.send(b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n')
    elif request.header("if-match") not in (None, b'"a"'):
        connection.send(reply(status=b"412 Precondition Failed"))
    elif request.header("range") is not None:
        connection.send(reply(b"part", HTML, b"Content-Range: bytes 0-3/999", b'ETag: "a"', status=b"206 Partial"))
    else:
        connection.send(reply(TEXT, HTML, b'ETag: "a"', b"Accept-Ranges: bytes"))


def test_conditional_requests_work_with_the_weakened_tag(site, app):
    app.reset(conditional)
    tag = site.get("/", EVERYTHING).header("etag")
    assert tag == b'W/"a"'
    known = site.get("/", EVERYTHING, b"If-None-Match: " + tag)
    assert (known.status, known.header("etag"), known.header("vary")) == (304, tag, b"Accept-Encoding")
    assert site.get("/", b'If-None-Match: "a"').header("etag") == b'"a"'
    assert site.get("/", EVERYTHING, b"If-Match: " + tag).status == 200
    assert app.last.header("if-match") == b'"a"'
    assert site.get("/", b'If-Match: W/"b"').status == 412


def test_a_range_of_the_encoded_body_is_not_answered_with_one_of_the_plain_body(site, app):
    app.reset(conditional)
    assert site.get("/", b"Range: bytes=0-3", b'If-Range: "a"').status == 206
    whole = site.get("/", EVERYTHING, b"Range: bytes=0-3", b'If-Range: W/"a"')
    assert whole.status == 200
    assert decoded(whole) == TEXT


def test_what_plugins_behind_make_of_the_request_does_not_matter_nor_who_answers(site, app):
    app.reset(reply(TEXT, HTML))
    assert site.get("/", EVERYTHING).header("content-encoding") == b"zstd"
    assert app.last.header("accept-encoding") is None
    assert decoded(site.get("/large", EVERYTHING)) == b"0123456789abcdef" * 65536


def test_an_error_page_is_encoded_whole(site, app):
    app.reset(lambda connection, request: connection.close())
    response = site.get("/", EVERYTHING)
    assert response.status == 502
    assert decoded(response) == b"<p>sorry</p>" * 1000


@pytest.mark.parametrize("order", ["before", "behind"])
def test_a_plugin_that_keeps_bodies_may_stand_on_either_side(gateway, origin, order):
    keeping = {"use": "others.py:Keeping"}
    plugins = [keeping, "compression"] if order == "before" else ["compression", keeping]
    app = origin(reply(TEXT, HTML))
    site = gateway(endpoints=[app], plugins=plugins, files={"others.py": OTHERS})
    for path in ("/first", "/first", "/first"):
        assert decoded(site.get(path, EVERYTHING)) == TEXT
    assert len(app.requests) == 1
    if order == "behind":
        assert site.get("/first").body == TEXT
        assert decoded(site.get("/first", b"Accept-Encoding: br")) == TEXT


@pytest.mark.parametrize("coding", [b"zstd", b"br", b"gzip"])
def test_events_arrive_one_by_one(site, app, coding):
    came: list[int] = []

    def events(connection, request):
        connection.send(chunked(b"data: 0\n\n", fields=(b"Content-Type: text/event-stream",), end=b""))
        for number in range(1, 4):
            connection.wait_for(lambda number=number: len(came) >= number)
            connection.send(b"9\r\ndata: %d\n\n\r\n" % number)
        connection.wait_for(lambda: len(came) == 4)
        connection.send(b"0\r\n\r\n")

    app.reset(events)
    decode = stream_decoder(coding)
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: " + coding + b"\r\n\r\n")
        client.wire.take_head()
        text = b""
        for piece in chunks(client):
            text += decode(piece)
            came.extend(range(len(came), text.count(b"\n\n")))
    assert text == b"".join(b"data: %d\n\n" % number for number in range(4))


def stream_decoder(coding):
    if coding == b"gzip":
        return zlib.decompressobj(31).decompress
    return brotli.Decompressor().process if coding == b"br" else zstd.ZstdDecompressor().decompress


def chunks(client) -> Iterator[bytes]:
    """The chunks of a response as they come, once its head was taken; EOFError if it is cut."""
    came = bytearray()

    def take(size: int) -> bytes:
        while len(came) < size:
            data = client.wire.take_some()
            if not data:
                raise EOFError
            came.extend(data)
        taken = bytes(came[:size])
        del came[:size]
        return taken

    while True:
        line = b""
        while not line.endswith(b"\r\n"):
            line += take(1)
        piece = take(int(line, 16) + 2)[:-2]
        if not piece:
            return
        yield piece


def test_a_large_stream_passes_in_bounded_memory(site, app):
    block = bytes(random.Random(1).choices(b"0123456789abcdef", k=MIB))

    def stream(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % (20 * MIB) + HTML + b"\r\n\r\n")
        for _ in range(20):
            connection.send(block)

    app.reset(stream)
    site.get("/large", EVERYTHING)
    before = site.rss_bytes
    with site.connect(receive_buffer=64 * 1024) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        client.wire.take_head()
        inflate, size, most = zlib.decompressobj(31), 0, 0
        for piece in chunks(client):
            size += len(inflate.decompress(piece))
            most = max(most, site.rss_bytes)
    assert size == 20 * MIB
    assert most - before < 8 * MIB


def test_a_client_that_leaves_ends_the_exchange(site, app):
    def endless(connection, request):
        connection.send(chunked(TEXT, end=b""))
        connection.wait_closed()
        left.append(True)

    left: list[bool] = []
    app.reset(endless)
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + EVERYTHING + b"\r\n\r\n")
        client.wire.take_head()
    wait_until(lambda: left, message="the origin's connection stays open")
    assert "never retrieved" not in site.log
    assert "was destroyed" not in site.log


@pytest.mark.parametrize("body", [b"short", TEXT, TEXT * 20], ids=["short", "medium", "long"])
@pytest.mark.parametrize("coding", [b"zstd", b"br", b"gzip", b"identity"])
def test_an_origin_that_dies_within_the_body_cuts_the_client(site, app, coding, body):
    def dying(connection, request):
        connection.send(chunked(body, end=b""))
        connection.close()

    app.reset(dying)
    with pytest.raises(CutShort) as cut:
        site.get("/", b"Accept-Encoding: " + coding)
    assert cut.value.response.status == 200


ENCODE = {
    b"gzip": gzip.compress,
    b"x-gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"br": brotli.compress,
    b"zstd": zstd.compress,
}


@pytest.mark.parametrize("coding", list(ENCODE))
def test_what_a_client_cannot_take_is_decoded(decoding, app, coding):
    fields = (HTML, b"Content-Encoding: " + coding, b'ETag: "a"')
    app.reset(reply(ENCODE[coding](TEXT), *fields))
    response = decoding.get("/")
    assert response.body == TEXT
    assert response.header("content-encoding") is None
    assert response.header("etag") == b'W/"a"'
    assert response.header("vary") == b"Accept-Encoding"


def test_what_a_client_takes_stays_and_what_it_likes_comes_in_its_stead(decoding, app):
    app.reset(reply(brotli.compress(TEXT), HTML, b"Content-Encoding: br"))
    response = decoding.get("/", b"Accept-Encoding: br;q=0.1, gzip")
    assert response.body == brotli.compress(TEXT)
    assert response.header("vary") == b"Accept-Encoding"
    response = decoding.get("/", b"Accept-Encoding: gzip")
    assert response.header("content-encoding") == b"gzip"
    assert decoded(response) == TEXT


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(TEXT)[:-9],
        gzip.compress(TEXT)[:200] + b"\xff" * 400,
        b"no gzip at all",
        gzip.compress(bytes(16 * MIB)),
    ],
    ids=["too short", "broken", "something else", "a bomb"],
)
def test_what_cannot_be_decoded_cuts_the_client(decoding, app, body):
    app.reset(reply(body, HTML, b"Content-Encoding: gzip"))
    with pytest.raises(CutShort) as cut:
        decoding.get("/")
    assert len(cut.value.response.body) < 2 * MIB


def test_the_bytes_are_counted(site, app):
    app.reset(reply(TEXT, HTML))
    site.get("/", b"Accept-Encoding: br")
    done = site.command("metrics", str(site.site_file))
    assert 'gateway_compression_bytes_in_total{coding="br"}' in done.stdout
    assert 'gateway_compression_bytes_out_total{coding="br"}' in done.stdout
