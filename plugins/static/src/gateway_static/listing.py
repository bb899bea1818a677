"""What a folder has, as a page for people or as JSON for programs.

Lists what would be served and nothing else. Reading a folder waits for the disk: it belongs in a thread.
"""

from __future__ import annotations

import html
import stat
import time
from typing import NamedTuple
from urllib.parse import quote

from gateway import Response
from gateway_static.names import file_name
from gateway_static.roots import ABSENT, FORBIDDEN, Root, Tree

MAX_LISTED = 10_000

_STYLE = (
    "html{color-scheme:light dark}"
    "body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.2rem .6rem}tr{border-bottom:1px solid #8884}"
    "td+td,th+th{white-space:nowrap;font-variant-numeric:tabular-nums}"
)
_POLICY = b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"


class Row(NamedTuple):
    """A file or a folder in a listing."""

    name: str
    is_folder: bool
    size: int
    modified: int
    """In seconds since the epoch."""


def read_folder(root: Root, folder: str, *, is_hidden_served: bool) -> list[Row]:
    """Folders first, then files, each by name. Raises OSError."""
    rows: list[Row] = []
    with root.opened() as tree:
        for name in sorted(tree.names(folder)):
            if len(rows) == MAX_LISTED:
                break
            row = _row(tree, folder, name, is_hidden_served=is_hidden_served)
            if row is not None:
                rows.append(row)
    return sorted(rows, key=lambda row: not row.is_folder)


def _row(tree: Tree, folder: str, name: str, *, is_hidden_served: bool) -> Row | None:
    try:
        path = quote(f"/{folder}{name}")
    except UnicodeEncodeError:  # no UTF-8: there is no path for it
        return None
    if file_name(path.encode(), is_hidden_served=is_hidden_served) is None:
        return None
    try:
        status = tree.status(folder + name)
    except OSError as error:
        if error.errno in ABSENT or error.errno in FORBIDDEN:
            return None
        raise
    is_folder = stat.S_ISDIR(status.st_mode)
    if not (is_folder or stat.S_ISREG(status.st_mode)):
        return None
    return Row(name, is_folder, 0 if is_folder else status.st_size, int(status.st_mtime))


def wants_json(accept: str) -> bool:
    """Whether JSON is named in Accept, and before HTML."""
    accept = accept.lower()
    json, page = accept.find("application/json"), accept.find("text/html")
    return json >= 0 and (page < 0 or json < page)


def as_json(rows: list[Row]) -> Response:
    """A list of objects."""
    response = Response.json([
        {"name": row.name, "type": "folder" if row.is_folder else "file", "size": row.size, "modified": _time(row)}
        for row in rows
    ])  # fmt: skip
    response.headers.add(b"vary", b"accept")
    return response


def as_page(path: str, rows: list[Row]) -> Response:
    """An HTML page. `path` is what the client asked for, decoded."""
    title = html.escape(f"Index of {path}")
    up = "" if path == "/" else '<p><a href="../">Up one folder</a></p>'
    lines = "".join(_line(row) for row in rows)
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><main><h1>{title}</h1>{up}\n<table><thead><tr>"
        f'<th scope="col">Name</th><th scope="col">Size</th><th scope="col">Modified (UTC)</th></tr></thead>\n'
        f"<tbody>{lines}</tbody></table></main></body></html>\n"
    )
    fields: dict[str, str | bytes] = {
        "content-type": "text/html; charset=utf-8", "x-content-type-options": "nosniff",
        "content-security-policy": _POLICY, "vary": "accept",
    }  # fmt: skip
    return Response(200, fields, page.encode())


def _line(row: Row) -> str:
    slash = "/" if row.is_folder else ""
    # "./" lest a colon in the name make a scheme of what is before it.
    link = html.escape("./" + quote(row.name) + slash)
    size = "" if row.is_folder else f"{row.size:,}"
    shown = html.escape(row.name + slash)
    return (
        f'<tr><td><a href="{link}">{shown}</a></td><td>{size}</td>'
        f'<td><time datetime="{_time(row)}">{_time(row)}</time></td></tr>\n'
    )


def _time(row: Row) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row.modified))
