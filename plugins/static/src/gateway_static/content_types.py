"""Which type a file has, by its name: the same on every host.

Python's own table without the host's /etc/mime.types, and what it lacks or has otherwise than browsers want it.
"""

from __future__ import annotations

from collections.abc import Mapping
from mimetypes import MimeTypes

UNKNOWN = "application/octet-stream"

_OURS = {
    "7z": "application/x-7z-compressed", "apk": "application/vnd.android.package-archive",
    "atom": "application/atom+xml", "avif": "image/avif", "br": UNKNOWN, "bz2": "application/x-bzip2",
    "cjs": "text/javascript", "css": "text/css", "csv": "text/csv",
    "deb": "application/vnd.debian.binary-package",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "eot": "application/vnd.ms-fontobject", "epub": "application/epub+zip", "flac": "audio/flac",
    "geojson": "application/geo+json", "glb": "model/gltf-binary", "gltf": "model/gltf+json",
    "gz": "application/gzip", "htm": "text/html", "html": "text/html", "ico": "image/x-icon",
    "ics": "text/calendar", "jar": "application/java-archive", "jpeg": "image/jpeg", "jpg": "image/jpeg",
    "js": "text/javascript", "json": "application/json", "jsonld": "application/ld+json", "jxl": "image/jxl",
    "log": "text/plain", "m3u8": "application/vnd.apple.mpegurl", "m4a": "audio/mp4", "m4s": "video/iso.segment",
    "m4v": "video/mp4", "map": "application/json", "md": "text/markdown", "mjs": "text/javascript",
    "mkv": "video/matroska", "mp3": "audio/mpeg", "mp4": "video/mp4", "mpd": "application/dash+xml",
    "ndjson": "application/x-ndjson", "odt": "application/vnd.oasis.opendocument.text", "oga": "audio/ogg",
    "ogg": "audio/ogg", "ogv": "video/ogg", "opus": "audio/ogg", "otf": "font/otf", "pdf": "application/pdf",
    "png": "image/png", "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "rar": "application/vnd.rar", "rss": "application/rss+xml", "rtf": "application/rtf", "svg": "image/svg+xml",
    "svgz": "image/svg+xml", "tar": "application/x-tar", "tgz": "application/gzip", "toml": "application/toml",
    "ts": "video/mp2t", "ttc": "font/collection", "ttf": "font/ttf", "txt": "text/plain", "vtt": "text/vtt",
    "wasm": "application/wasm", "wav": "audio/wav", "weba": "audio/webm", "webm": "video/webm",
    "webmanifest": "application/manifest+json", "webp": "image/webp", "woff": "font/woff", "woff2": "font/woff2",
    "xhtml": "application/xhtml+xml", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "application/xml", "xz": "application/x-xz", "yaml": "application/yaml", "yml": "application/yaml",
    "zip": "application/zip", "zst": "application/zstd",
}  # fmt: skip


class ContentTypes:
    """The types of files by what follows the last dot of their names."""

    __slots__ = ("_charset", "_types")

    def __init__(self, types: Mapping[str, str], charset: str = "utf-8") -> None:
        """`types` come before ours; `charset` is that of text without one, if it is not empty."""
        # A MimeTypes made by hand has Python's table alone, whatever the host's files say.
        python = {dotted[1:]: kind for dotted, kind in MimeTypes().types_map[True].items()}
        self._types = {**python, **_OURS, **{ending.lower().lstrip("."): kind for ending, kind in types.items()}}
        self._charset = charset

    def of(self, name: str) -> bytes:
        """The value of Content-Type for a file."""
        _, dot, ending = name.rpartition("/")[2].rpartition(".")
        kind = self._types.get(ending.lower(), UNKNOWN) if dot else UNKNOWN
        if self._charset and kind.startswith("text/") and "charset=" not in kind:
            kind = f"{kind}; charset={self._charset}"
        return kind.encode("latin-1")
