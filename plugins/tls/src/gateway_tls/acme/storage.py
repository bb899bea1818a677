"""The folder of `tls.acme.storage`: the account's key, keys with their certificates, what is to be answered, and
who may write.

Owns names, rights and the writing of files. One file holds a key and its certificate, so that no reader ever finds
one without the other.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway_tls.acme.settings import Acme
from gateway_tls.certificates import read_facts
from gateway_tls.contexts import UnfitFile

_ANSWERS = ".answers"
_LOOK_SECONDS = 0.5
"""Between two looks whether the lock is free."""


class Storage:
    """What belongs to one certificate. Others share the folder, and those of the same server the account."""

    def __init__(self, settings: Acme) -> None:
        self._root = settings.storage
        self._folder = settings.storage / re.sub(r"[^A-Za-z0-9.-]+", "_", settings.directory.partition("://")[2])
        self._domains = frozenset(settings.domains)
        digest = hashlib.sha256(" ".join(sorted(settings.domains)).encode()).hexdigest()[:8]
        self.name = f"{settings.domains[0]}-{digest}"
        """The same for the same domains, in whatever order but for the first."""
        self.certificate = self._folder / f"{self.name}.pem"
        """Key and certificate; there once it is issued."""
        self._account = self._folder / "account.key"
        self._pause = self._folder / f"{self.name}.wait"
        self._answers = self._folder / f"{self.name}{_ANSWERS}"

    # -- rights ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Refuse a folder that is of no use, before anything is written. Raises UnfitFile."""
        where = ".acme.storage"
        try:
            mode = self._root.stat().st_mode
        except FileNotFoundError:
            parent = next(path for path in self._root.absolute().parents if path.exists())
            if not os.access(parent, os.W_OK | os.X_OK):
                raise UnfitFile(f"{where}: {self._root} is not there, and {parent} cannot be written to") from None
            return
        except OSError as error:
            raise UnfitFile(f"{where}: {self._root}: {error.strerror}") from None
        if not self._root.is_dir():
            raise UnfitFile(f"{where}: {self._root} is no folder")
        if mode & 0o077:
            raise UnfitFile(
                f"{where}: others may look into {self._root}, where keys are kept: chmod 700 {self._root}"
            )
        if not os.access(self._root, os.R_OK | os.W_OK | os.X_OK):
            raise UnfitFile(f"{where}: {self._root} cannot be written to by this user")

    def prepare(self) -> None:
        """Make the folders. Raises OSError."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One at a time deals with the server: of all workers and gateways that share the folder. Blocks."""
        descriptor = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            while not _is_locked(descriptor):
                time.sleep(_LOOK_SECONDS)
            yield
        finally:
            os.close(descriptor)

    # -- files -------------------------------------------------------------------------------------------------

    def serving(self) -> Path | None:
        """What to serve: the certificate; until it is there, the one that has most of its hosts; else nothing.

        So a host that is added to the settings does not cost the others their certificate while it is ordered.
        """
        if self.certificate.exists():
            return self.certificate
        best: tuple[int, float, Path] | None = None
        for path in self._folder.glob("*.pem"):
            try:
                facts = read_facts(path)
            except (OSError, ValueError):
                continue
            rank = (len(self._domains & set(facts.names)), facts.ends.timestamp(), path)
            if rank[0] and facts.ends.timestamp() > time.time() and (best is None or rank > best):
                best = rank
        return best[2] if best else None

    def save_certificate(self, pem: bytes) -> None:
        """Put key and certificate in the place of what was there."""
        _write(self.certificate, pem)
        self._pause.unlink(missing_ok=True)

    def account_key(self) -> bytes | None:
        """The key by which the server knows us; None before there is one."""
        try:
            return self._account.read_bytes()
        except FileNotFoundError:
            return None

    def save_account_key(self, pem: bytes) -> None:
        """Keep it."""
        _write(self._account, pem)

    @property
    def paused_until(self) -> float:
        """Until when the server wants to be left alone, in seconds since the epoch; 0 if it does not."""
        try:
            return float(self._pause.read_text())
        except (OSError, ValueError):
            return 0.0

    def pause_until(self, moment: float) -> None:
        """Remember what the server asked for, over reloads and restarts, too."""
        _write(self._pause, f"{moment:.0f}\n".encode())

    # -- challenges --------------------------------------------------------------------------------------------

    def show_answers(self, challenge: str, answers: Mapping[str, str]) -> None:
        """Let the other gateways that share the folder know what is to be answered: any of them may be asked."""
        _write(self._answers, json.dumps({"challenge": challenge, "answers": dict(answers)}).encode())

    def forget_answers(self) -> None:
        """Nothing is to be answered any more."""
        self._answers.unlink(missing_ok=True)

    def answer(self, challenge: str, name: str) -> str | None:
        """What whoever is ordering wants to have answered, by host or token; None if nobody asked for it."""
        for path in self._folder.glob(f"*{_ANSWERS}"):
            with suppress(OSError, ValueError):  # over since
                shown = json.loads(path.read_bytes())
                if shown["challenge"] == challenge and name in shown["answers"]:
                    return str(shown["answers"][name])
        return None

    def __repr__(self) -> str:
        return f"<Storage {self.certificate}>"


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(path: Path, data: bytes) -> None:
    """Write a file that only we may read; it is there as a whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    new.replace(path)
