"""From a file and a request to the response: conditions, ranges, HEAD (RFC 9110 13 and 14).

Does not look for files; opens those that are too large for memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from gateway import (
    ClientError,
    Condition,
    FileBody,
    Headers,
    OpenFile,
    Request,
    Response,
    condition,
    if_range_holds,
    ranged,
)
from gateway_static.finding import Asset, Finder
from gateway_static.representation import RawHeaders, Representation, signature

_ASKING = frozenset((b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"range"))
"""If-Range is nothing without Range."""


class FileChanged(Exception):
    """What was found is there no more."""


def respond(
    finder: Finder, request: Request, asset: Asset, extra: tuple[bytes, bytes] | None = None
) -> Response | Awaitable[Response]:
    """The response with a file. `extra` is a field beside its own; a Vary joins the one that is there.

    Raises ClientError for a precondition that fails; what is awaited raises FileChanged if the file has gone.
    """
    # hot: static
    headers = request.headers
    one = asset.choose(headers.get_all(b"accept-encoding"))
    is_asking = False
    for name, _ in headers.raw:
        if name in _ASKING:
            is_asking = True
            break
    if is_asking and (response := _unchanged(headers, one, extra)) is not None:
        return response
    if request.method == "HEAD":
        return Response.adopt(200, [*_fields(one.fields, extra), (b"content-length", b"%d" % one.size)], b"")
    if one.content is None:
        return _from_disk(finder, request, asset, one, extra, is_asking=is_asking)
    response = Response.adopt(200, _fields(one.fields, extra), one.content)
    return _part(headers, one, response) if is_asking else response


async def _from_disk(
    finder: Finder,
    request: Request,
    asset: Asset,
    one: Representation,
    extra: tuple[bytes, bytes] | None,
    *,
    is_asking: bool,
) -> Response:
    try:
        file = await asyncio.get_running_loop().run_in_executor(None, _open, asset, one.name)
    except OSError as error:
        raise FileChanged from error
    if signature(file.status) != one.signature:
        varies = any(name == b"vary" for name, _ in one.fields)
        one = finder.describe(one.name, one.coding, file.status, asset.plain.name, varies=varies)
        if is_asking and (response := _unchanged(request.headers, one, extra)) is not None:
            return response
    fields = [*_fields(one.fields, extra), (b"content-length", b"%d" % one.size)]
    response = Response.adopt(200, fields, FileBody(file) if one.size else b"")
    return _part(request.headers, one, response) if is_asking else response


def _open(asset: Asset, name: str) -> OpenFile:
    return asset.root.open(name)


def _unchanged(headers: Headers, one: Representation, extra: tuple[bytes, bytes] | None) -> Response | None:
    """What the preconditions come to; None if they hold."""
    state = condition(headers, one.etag, one.last_modified)
    if state is Condition.FAILED:
        raise ClientError("a precondition failed", status=412)
    if state is Condition.NOT_MODIFIED:
        return Response.adopt(304, _fields(one.fields_of_304, extra), b"")
    return None


def _part(headers: Headers, one: Representation, response: Response) -> Response:
    """The part that a Range wants, or the whole. A repeated Range is none."""
    ranges = headers.get_all(b"range")
    if len(ranges) != 1 or not if_range_holds(headers, one.etag, one.last_modified):
        return response
    return ranged(response, ranges[0])


def _fields(fields: RawHeaders, extra: tuple[bytes, bytes] | None) -> RawHeaders:
    """A list of its own for each response, for plugins may change it."""
    if extra is None:
        return fields.copy()
    name, value = extra
    headers = Headers.adopt(fields.copy())
    before = headers.get(name)
    headers.set(name, value if before is None else before + b", " + value)
    return headers.raw
