"""Values as people write them: durations, sizes, secrets, networks; and the base of every configuration model.

Owns parsing and the message for an unknown key. Does not know any particular setting.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import os
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gateway.config.describing import describe

_DURATION = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*(ms|s|m|h|d)", re.ASCII).fullmatch
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d{1,24}(?:\.\d{1,9})?)\s*(B|kB|KiB|MB|MiB|GB|GiB)", re.ASCII).fullmatch
_BYTES = {
    "B": 1, "kB": 1000, "KiB": 1024, "MB": 1000**2, "MiB": 1024**2, "GB": 1000**3, "GiB": 1024**3,
}  # fmt: skip

_KEY_PREFIX = re.compile(r"[!-~]{0,64}").fullmatch


def parse_duration(value: object) -> object:
    """`"5s"`, `"250ms"`, `"1.5h"` → seconds. A bare number is seconds."""
    if not isinstance(value, str):
        return value
    match = _DURATION(value.strip())
    if match is None:
        _refuse_negative(value, _DURATION)
        raise ValueError(f'expected a duration such as "5s", "250ms" or "10m", not {value!r}')
    return float(match[1]) * _SECONDS[match[2]]


def parse_size(value: object) -> object:
    """`"16MiB"`, `"64kB"` → bytes. A bare number is bytes."""
    if not isinstance(value, str):
        return value
    match = _SIZE(value.strip())
    if match is None:
        _refuse_negative(value, _SIZE)
        raise ValueError(f'expected a size such as "16MiB" or "64KiB", not {value!r}')
    return int(Decimal(match[1]) * _BYTES[match[2]])


def _refuse_negative(value: str, match: Callable[[str], object]) -> None:
    if value.strip().startswith("-") and match(value.strip()[1:].lstrip()):
        raise ValueError(f"must not be negative, as {value!r} is")


def _not_negative(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"expected a number with a unit, not {str(value).lower()}")
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise ValueError("must be finite; where no limit is meant, write 0")
        if value < 0:
            raise ValueError("must not be negative")
    return value


def read_secret(value: object, info: ValidationInfo) -> object:
    """`{ env = "NAME" }` or `{ file = "path" }` → what stands there; a string stands for itself."""
    match value:
        case {"env": str(name), **others} if not others:
            if name not in os.environ:
                raise ValueError(f"the environment variable {name} is not set")
            return os.environ[name]
        case {"file": str(name), **others} if not others:
            return _read_secret_file(_from_base(Path(name), info))
        case dict():
            raise ValueError('expected a string, { env = "NAME" } or { file = "path" }')
    return value


def _read_secret_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"the file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the file {path} is not text") from None


def _from_base(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    return Path(base) / path if base else path


_DURATION_SCHEMA = {"type": ["string", "number"], "description": 'seconds, or "5s", "250ms", "10m", "1h"'}
_SIZE_SCHEMA = {"type": ["string", "integer"], "description": 'bytes, or "64KiB", "16MiB", "1GB"'}

Duration = Annotated[
    float, BeforeValidator(_not_negative), BeforeValidator(parse_duration), WithJsonSchema(_DURATION_SCHEMA)
]
"""Seconds, written as `"5s"`, `"250ms"`, `"10m"`."""

Size = Annotated[int, BeforeValidator(_not_negative), BeforeValidator(parse_size), WithJsonSchema(_SIZE_SCHEMA)]
"""Bytes, written as `"64KiB"`, `"16MiB"`."""

FilePath = Annotated[Path, AfterValidator(_from_base)]
"""A path; a relative one starts at the folder of the site file."""


def _key_prefix(value: str) -> str:
    if not _KEY_PREFIX(value):
        raise ValueError("expected up to 64 visible ASCII characters")
    return value


KeyPrefix = Annotated[str, AfterValidator(_key_prefix)]
"""What the keys of a store that others use, too, begin with."""

Secret = Annotated[SecretStr, BeforeValidator(read_secret)]
"""A value that never appears in a log or in what `check` prints. A relative file is one beside the site file."""


def parse_network(value: object) -> object:
    """`10.0.0.0/8`, `fd00::/8`, or one address."""
    if not isinstance(value, str):
        return value
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        pass
    try:
        hint = f'; did you mean "{ipaddress.ip_network(value, strict=False)}"?'
    except ValueError:
        hint = ""
    raise ValueError(f'expected a network such as "10.0.0.0/8", or an address, not {value!r}{hint}')


Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(parse_network)]
"""Addresses that belong together, written as `"10.0.0.0/8"` or as one address."""


def kind_of(value: object) -> str:
    """What a wrong value is, as in `expected text in quotes, not a number`, without showing it.

    Whether a value is a secret cannot be known: a plugin's `token: str` looks like any other text.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not value.is_integer():
        return "a fraction"
    for types, kind in _KINDS:
        if isinstance(value, types):
            return kind
    return "nothing" if value is None else "a date or time"


_KINDS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((str, SecretStr), "text"), ((int, float), "a number"), ((list, tuple), "a list"), ((dict,), "a table"),
)  # fmt: skip


def nearest(word: str, known: Iterable[str]) -> str:
    """A suggestion to append to a message: `; did you mean 'x'?`, or what is known, or nothing."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.7)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f" (known: {', '.join(names)})" if names else ""


class Model(BaseModel):
    """The base of every configuration model: frozen, no unknown keys, with a hint at the nearest known one."""

    # Built when first used: a sixth of the start of a gateway is spared, since most are but parts of `Settings`.
    # An error that a plugin lets through shows no input, for that may be a secret.
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, defer_build=True, hide_input_in_errors=True
    )

    @classmethod
    def model_json_schema(cls, *arguments: Any, **options: Any) -> dict[str, Any]:
        """pydantic's, with the docstrings below attributes as their descriptions."""
        describe(cls)
        return super().model_json_schema(*arguments, **options)

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in data:
                if key not in known and cls.model_config.get("extra") == "forbid":
                    hint = nearest(str(key), known)
                    raise PydanticCustomError(
                        "unknown_key", "unknown key '{key}'{hint}", {"key": str(key), "hint": hint}
                    )
        return data


class PluginConfig(Model):
    """The base of a plugin's `Config`: typed, frozen, printable as JSON Schema."""

    # At once: what is wrong in a plugin's model is found where it is written.
    model_config = ConfigDict(defer_build=False)
