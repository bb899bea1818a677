"""The country of an address, from a database in MaxMind's format: GeoLite2, GeoIP2, DB-IP, IPinfo and others.

Owns the file's content as it was when it was opened, and where records say the country. Does not know who may pass.
"""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path
from typing import Any

import maxminddb

UNKNOWN = "unknown"
"""In the place of a country for addresses of which the database does not know one."""

_LOOKED_AT = 1000
"""Records in which a country is looked for, before a database counts as one of something else."""


class CountryDatabase:
    """A copy of the file in memory.

    A map of the file itself would be torn when somebody writes over it in place, and end the worker when that makes
    it shorter.
    """

    def __init__(self, path: Path) -> None:
        """Open it. Raises ValueError for what is no database of countries, and OSError."""
        copy = os.memfd_create("gateway-countries", os.MFD_CLOEXEC)
        try:
            with path.open("rb") as source, open(copy, "wb", closefd=False) as target:
                shutil.copyfileobj(source, target)
            self._reader = maxminddb.open_database(f"/proc/self/fd/{copy}")
            self._has_six = self._reader.metadata().ip_version == 6
            records = itertools.islice(self._reader, _LOOKED_AT)
            if not any(_country(record) for _, record in records):
                raise ValueError(f"a database of {self._reader.metadata().database_type!r}, without countries")
        except (maxminddb.InvalidDatabaseError, UnicodeDecodeError):
            raise ValueError("not a MaxMind database") from None
        finally:
            os.close(copy)

    def country_of(self, address: str) -> str:
        """The two letters of ISO 3166 in capitals, or UNKNOWN."""
        if not self._has_six and ":" in address:
            return UNKNOWN
        return _country(self._reader.get(address)) or UNKNOWN

    def __repr__(self) -> str:
        return f"<CountryDatabase {self._reader.metadata().database_type}>"


def _country(record: Any) -> str:
    """Where the address is used; where it is registered if that is all that the record says."""
    if not isinstance(record, dict):
        return ""
    for key in ("country", "country_code", "registered_country"):
        said = record.get(key)
        code = said.get("iso_code") if isinstance(said, dict) else said
        if isinstance(code, str) and len(code) == 2:
            return code.upper()
    return ""
