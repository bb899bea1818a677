"""From where an endpoint believes itself to be to where the client reached it: in URLs, and in cookies.

Owns what counts as the endpoint's own address, and the undoing of a route's rewritten path. Does not know fields.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from gateway import Exchange

_ABSOLUTE = re.compile(rb"(?:(https?):)?//([^/?#\\]*)(.*)", re.IGNORECASE | re.DOTALL).fullmatch
_PATH = re.compile(rb"[^?#]*").match
_REFRESH = re.compile(rb"(\s*[0-9.]+\s*[;,]\s*url\s*=\s*)([\"']?)(.*?)(\2\s*)", re.IGNORECASE).fullmatch
_HOST = re.compile(rb"[A-Za-z0-9._~%-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?").fullmatch
_DOTS = frozenset((b".", b".."))
_SLASHES = b"/\\\t\r\n"
"""What may not follow the first slash of a path: `//host` is another host. Browsers take a backslash for a slash,
and do not see tabs and line ends (WHATWG URL 4.4)."""


class PublicAddress:
    """One exchange's two addresses.

    An address is the endpoint's own if its host and port are those of the endpoint, those that it was asked for
    (Host), those that the client asked for, or one of `also`. Every other one stays as it is. An own path from
    below where a route has rewritten leads to where the client found it, unless it is there already.
    """

    __slots__ = ("_host", "_inner", "_own", "_own_scheme", "_prefixes", "_scheme")

    def __init__(self, exchange: Exchange, also: Collection[bytes] = ()) -> None:
        request, attempt = exchange.request, exchange.attempts[-1]
        url = attempt.endpoint.url
        self._scheme, self._host = asked_address(exchange)
        self._own_scheme = url.scheme.encode()
        seen = (url.authority.encode("latin-1"), attempt.headers.get(b"host", b""), self._host)
        self._own = {_without_usual_port(authority.lower()) for authority in (*seen, *also) if authority}
        self._inner = {_without_port(authority) for authority in self._own}
        forwarded = exchange.forwarded_path
        self._prefixes = None if forwarded is None else rewritten_prefixes(request.raw_path, forwarded)

    def url(self, value: bytes) -> bytes:
        """A URL, or a reference, as the client can use it."""
        match = _ABSOLUTE(value)
        if match is None:
            return self._path(value) if value.startswith(b"/") else value
        scheme, authority, rest = match.groups()
        if _without_usual_port(authority.lower()) not in self._own:
            return value
        path = self._path(rest if rest.startswith(b"/") else b"/" + rest) if rest else b""
        if not self._host:
            return b"/" + path.lstrip(_SLASHES)  # the client has told us no name: this leads it to where it is
        if scheme is None:
            return b"//" + self._host + path
        scheme = self._scheme if scheme.lower() == self._own_scheme else scheme
        return scheme + b"://" + self._host + path

    def refresh(self, value: bytes) -> bytes:
        """The field Refresh: seconds, and a URL."""
        match = _REFRESH(value)
        return value if match is None else match[1] + match[2] + self.url(match[3]) + match[4]

    def cookie(self, value: bytes) -> bytes:
        """A Set-Cookie with its Domain and Path as the client sees them."""
        if value[:7].lower() == b"__host-":
            return value  # it has no Domain, and its Path is to be / (RFC 6265bis 4.1.3.2)
        pieces = value.split(b";")
        changed = [pieces[0]]
        for piece in pieces[1:]:
            name, _, given = piece.partition(b"=")
            name = name.strip(b" \t").lower()
            if name == b"domain":
                piece = self._domain(piece, given.strip(b" \t"))
            elif name == b"path":
                piece = self._cookie_path(piece, given.strip(b" \t"))
            if piece:
                changed.append(piece)
        return b";".join(changed)

    def _domain(self, piece: bytes, domain: bytes) -> bytes:
        host = domain.lower().removeprefix(b".")
        public = _without_port(self._host.lower())
        if host == public or host not in self._inner:
            return piece
        # Without a Domain a cookie is the host's own: all that an address, or a name without a dot, can have.
        return b" Domain=" + public if b"." in public and public[-1:].isalpha() else b""

    def _cookie_path(self, piece: bytes, path: bytes) -> bytes:
        mapped = self._path(path) if path.startswith(b"/") else path
        if mapped == path:
            return piece
        if b";" in mapped:  # what the client has asked would become attributes; without a Path the folder counts
            return b""
        return b" Path=" + (mapped.rstrip(b"/") or b"/" if path == b"/" else mapped)

    def _path(self, target: bytes) -> bytes:
        """A path, and what follows it, from below the endpoint's prefix to below the client's."""
        if self._prefixes is None:
            return target
        public, inner = self._prefixes
        path = _PATH(target)[0]  # type: ignore[index]  # matches anything
        if inner:
            if not _is_below(path, inner):
                return target
            rest = target[len(inner) :]
        elif _is_below(path, public):
            return target  # an application that knows where it is seen
        else:
            rest = target
        if public:
            return public + rest
        return b"/" + rest.lstrip(_SLASHES)


def may_name_host(value: bytes) -> bool:
    """Whether a URL or a cookie could name one: most do not, and where no path is rewritten that is all to know."""
    return b"//" in value or b"domain" in value.lower()


def asked_address(exchange: Exchange) -> tuple[bytes, bytes]:
    """Scheme and authority that the client has used; trusted proxies say what that was. No authority is empty."""
    request, app = exchange.request, exchange.app
    scheme = b"https" if request.scheme in ("https", "wss") else b"http"
    host = request.headers.get(b"host", b"")
    if app.has_trusted_proxies and app.is_trusted(request):
        given = request.headers.get(b"x-forwarded-proto", b"").strip().lower()
        scheme = given if given in (b"http", b"https") else scheme
        named = request.headers.get(b"x-forwarded-host", b"").strip()
        host = named if _HOST(named) else host
    return scheme, host


def rewritten_prefixes(asked: bytes, forwarded: bytes) -> tuple[bytes, bytes] | None:
    """What a path was rewritten from and to, without the end that both have in common and without a last slash.

    None if nothing changed, or if the client's path has dot segments there: nobody can tell what they stand for.
    """
    public, inner = asked.split(b"/"), forwarded.split(b"/")
    while public and inner and public[-1] == inner[-1]:
        del public[-1], inner[-1]
    # Empty segments are not told apart by routes, and "//name" would be a host. A backslash is a slash to browsers.
    public = [segment.replace(b"\\", b"%5C") for segment in public if segment]
    inner = [segment for segment in inner if segment]
    if public == inner or any(segment.lower().replace(b"%2e", b".") in _DOTS for segment in public):
        return None
    before, after = (b"".join(b"/" + segment for segment in segments) for segments in (public, inner))
    return before, after


def _is_below(path: bytes, prefix: bytes) -> bool:
    return path == prefix or path.startswith(prefix + b"/")


def _without_usual_port(authority: bytes) -> bytes:
    return authority.removesuffix(b":80").removesuffix(b":443")


def _without_port(authority: bytes) -> bytes:
    if authority.startswith(b"["):
        return authority[: authority.find(b"]") + 1]
    return authority.partition(b":")[0]
