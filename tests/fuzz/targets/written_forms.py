"""The forms in which rules look at a path: few, no longer than it, decoded as the standard library does."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from gateway_security.written_forms import path_forms, text_forms


def check(data: bytes) -> None:
    path = b"/" + data
    forms = path_forms(path)
    assert forms[0] == path
    assert len(forms) == len(set(forms)) <= 6
    assert all(len(form) <= len(path) + 1 for form in forms)
    decoded = unquote_to_bytes(path)
    assert decoded in forms or decoded == path
    ways = [way for way in forms if way not in (path, decoded)]
    assert all(way.startswith(b"/") and b"//" not in way and b"\\" not in way for way in ways)
    assert any(b".." not in form.split(b"/") for form in forms)
    assert text_forms(data)[-1] == unquote_to_bytes(data.replace(b"+", b" "))
