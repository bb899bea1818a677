"""The settings of `static`, checked when they are read.

Owns the form of names and patterns. Whether the directories are there is seen at start (`roots`).
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway import Duration, FilePath, Headers, PluginConfig, Size
from gateway_static.names import file_name

CODINGS = {"zstd": ".zst", "br": ".br", "gzip": ".gz"}
"""Content codings and what their files' names end with."""

_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*;[ \t]*\S.*)?").fullmatch


def _as_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


def _check_roots(value: tuple[object, ...]) -> tuple[object, ...]:
    if not value:
        raise ValueError('name at least one directory: root = "./public"')
    return value


def _check_prefix(value: str) -> str:
    if value and not value.startswith("/"):
        raise ValueError(f'a prefix begins with a slash: "/{value}"')
    bare = value.strip("/")
    if bare and ("%" in bare or file_name(b"/" + bare.encode(), is_hidden_served=True) is None):
        raise ValueError(
            f"{value!r} is no prefix of a path of files: no empty segments, no `.`, `..`, backslash or `%`"
        )
    return value.rstrip("/")


def _check_file(value: str) -> str:
    name = value.removeprefix("/")
    if not name or name.endswith("/") or "%" in name or file_name(b"/" + name.encode()) is None:
        raise ValueError(
            f'{value!r} names no file that is served; expected one such as "/404.html", below the root'
        )
    return name


def _check_try(value: str) -> str:
    if value.count("{path}") > 1 or re.search(r"[{}]", value.replace("{path}", "")):
        raise ValueError(f'{value!r}: {{path}} may stand in it once, and no other brace; such as "{{path}}.html"')
    _check_file(value.replace("{path}", "path"))
    return value.removeprefix("/")


def _check_index(value: str) -> str:
    if "/" in value:
        raise ValueError(f"{value!r}: the file of a folder is named without a slash")
    return _check_file(value)


def _check_type(value: str) -> str:
    if not _TYPE(value):
        raise ValueError(f'{value!r} is no media type; expected one such as "text/plain"')
    Headers().add("content-type", value)
    return value


def _check_cache(value: str) -> str:
    Headers().add("cache-control", value)
    return value


FileName = Annotated[str, AfterValidator(_check_file)]


class Settings(PluginConfig):
    """Which directories, which files of them, and how they are sent."""

    root: Annotated[tuple[FilePath, ...], AfterValidator(_check_roots), BeforeValidator(_as_list)]
    """The directory, or several that are tried in order; a relative one starts at the folder of the site file."""
    strip_prefix: Annotated[str, AfterValidator(_check_prefix)] = ""
    """What to take off the path, by whole segments, before it is looked for below the root. A path without it names
    no file."""
    missing: Literal["404", "pass"] = "404"
    """What becomes of a path that names no file: 404, or `pass`: it goes on to the plugins behind and the upstream,
    as do methods other than GET and HEAD."""
    index: tuple[Annotated[str, AfterValidator(_check_index)], ...] = ("index.html",)
    """The file that is sent for a folder: the first that is there."""
    try_files: tuple[Annotated[str, AfterValidator(_check_try)], ...] = ()
    """Names to try when the path names no file, such as `{path}.html`."""
    fallback: FileName | None = None
    """The file for navigations (GET and HEAD that accept `text/html`) to what is not there: a single-page
    application."""
    listing: bool = False
    """List folders without an index: as HTML, or as JSON if the client prefers that."""
    hidden: bool = False
    """Serve names that begin with a dot, too. `/.well-known/` is always served."""
    symlinks: Literal["inside", "none", "all"] = "inside"
    """Symbolic links that are followed: those whose target is relative and lies inside the root, none, or all (then
    whoever can write below the root can publish any file that the gateway may read)."""
    precompressed: tuple[Literal["zstd", "br", "gzip"], ...] = ("zstd", "br", "gzip")
    """Send `app.js.zst`, `.br` or `.gz` in place of `app.js` to clients that accept it, and of equals the first."""
    types: dict[str, Annotated[str, AfterValidator(_check_type)]] = {}
    """Content types by the ending of the name: ending = type."""
    charset: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$")] = "utf-8"
    """What `text/` types say their charset is; empty to say nothing."""
    cache: dict[str, Annotated[str, AfterValidator(_check_cache)]] = {}
    """Cache-Control by pattern, the first that fits: with a slash of the file's whole name below the root, else of
    its last part."""
    error_pages: dict[Annotated[int, Field(ge=400, le=599)], FileName] = {}
    """Files to send for errors that the gateway makes on this route: status = file. They are read at start and
    reload."""
    intercept: bool = False
    """Send error pages for error responses of the upstream, too."""
    check_interval: Duration = 1.0
    """How long the result of a look at the disk holds; 0 to look for each request."""
    memory: Size = 32 * 1024 * 1024
    """Bytes of small files to hold in each worker."""
    memory_file: Size = 256 * 1024
    """The size up to which a file is held in memory; larger ones are read while they are sent."""
    max_names: Annotated[int, Field(ge=16)] = 8192
    """Names whose state is remembered in each worker, and as many that are missing."""
