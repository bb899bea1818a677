"""Text that can be compressed as well as what services send: HTML, JSON and program text.

Owns bodies. Does not encode or send them.
"""

from __future__ import annotations

import argparse
import inspect
import json
import pydoc
import random
from importlib import import_module
from typing import Any

MODULES = (
    "argparse", "asyncio.base_events", "collections", "configparser", "csv", "datetime", "decimal", "difflib",
    "email.message", "http.client", "http.server", "inspect", "logging", "mailbox", "pathlib", "pickle", "pydoc",
    "random", "shutil", "smtplib", "socket", "ssl", "statistics", "subprocess", "tarfile", "threading", "typing",
    "urllib.request", "uuid", "zipfile",
)  # fmt: skip
"""Of the standard library: their documentation is the HTML, their source the script."""


def bodies() -> dict[str, bytes]:
    """Much text of each kind, the same on every run of one Python."""
    modules = [import_module(name) for name in MODULES]
    source = "".join(map(inspect.getsource, modules))
    document = pydoc.HTMLDoc()
    return {
        "html": "".join(map(document.docmodule, modules)).encode("utf-8", "replace"),
        "json": json.dumps(orders(source, 5000), separators=(",", ":")).encode(),
        "script": source.encode(),
    }


def answer(size: int) -> bytes:
    """The first bytes of the JSON that an API might answer: the same on every run of one Python, and soon made."""
    text = json.dumps(orders(inspect.getsource(argparse), size // 100), separators=(",", ":")).encode()
    return text[:size]


def orders(text: str, count: int) -> list[dict[str, Any]]:
    """What an API might say, with words from a text."""
    draw = random.Random(1)
    words = [word for word in text.split() if word.isalpha()]

    def line() -> dict[str, Any]:
        title = " ".join(draw.choices(words, k=4))
        return {"sku": f"{draw.getrandbits(32):08x}", "title": title, "price": draw.randint(100, 99999) / 100}

    return [
        {
            "id": draw.getrandbits(40),
            "customer": " ".join(draw.choices(words, k=2)),
            "created_at": f"2026-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}T{draw.randint(0, 23):02}:15:00Z",
            "status": draw.choice(("open", "paid", "sent")),
            "lines": [line() for _ in range(draw.randint(1, 5))],
        }
        for _ in range(count)
    ]
