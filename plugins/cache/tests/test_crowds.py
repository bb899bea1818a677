"""A thousand clients, several workers, one cold object: the origin is asked once."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from pathlib import Path

import pytest
from gateway_cache.claims import FREE, HELD_SECONDS, Claims

from gateway.testing import Held, reply, wait_until

FRESH = b"Cache-Control: max-age=600"
REQUEST = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"


@pytest.fixture
def many_files():
    """Room for a connection of each client in this process, too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def ask(address: tuple[str, int]) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(REQUEST)
    try:
        return await reader.read()
    finally:
        writer.close()


def in_flight(site) -> int:
    shown = site.command("metrics").stdout.splitlines()
    return sum(int(float(line.split()[-1])) for line in shown if line.startswith("gateway_exchanges_in_flight"))


@pytest.mark.parametrize(("workers", "clients"), [(1, 1000), (2, 1000)])
def test_the_origin_is_asked_once_for_all(gateway, origin, tmp_path, many_files, workers, clients):
    held = Held(reply(b"one", FRESH))
    app = origin(held)
    disk = {"disk": str(tmp_path / "store")} if workers > 1 else {}
    site = gateway(endpoints=[app], workers=workers, plugins=[{"use": "cache", **disk}])

    async def all_of_them() -> list[bytes]:
        asked = [asyncio.ensure_future(ask(site.address)) for _ in range(clients)]
        await asyncio.to_thread(wait_until, lambda: in_flight(site) == clients)
        held.released.set()
        return await asyncio.gather(*asked)

    answers = asyncio.run(all_of_them())
    assert {answer.rpartition(b"\r\n")[2] for answer in answers} == {b"one"}
    assert sum(b"; collapsed" in answer or b"; hit; ttl" in answer for answer in answers) == clients - 1
    assert len(app.requests) == 1


def test_what_is_not_for_others_is_asked_for_by_other_workers_as_soon_as_that_is_known(gateway, origin, tmp_path):
    app = origin(reply(b"mine", b"Cache-Control: private"))
    site = gateway(endpoints=[app], workers=2, plugins=[{"use": "cache", "disk": str(tmp_path / "store")}])

    async def all_of_them() -> list[bytes]:
        return await asyncio.gather(*(ask(site.address) for _ in range(40)))

    assert all(answer.endswith(b"mine") for answer in asyncio.run(all_of_them()))
    assert len(app.requests) == 40
    wait_until(lambda: not list((tmp_path / "store" / "claims").iterdir()))


def test_a_claim_is_one_workers_until_it_is_released_or_too_old(tmp_path):
    """What other processes have claimed is a file that we have not made."""
    claims, url = Claims(tmp_path), b"http://a.example/"
    claim = claims.take(url)
    assert claims.take(url) is FREE  # in the same process nobody waits for it
    (path,) = tmp_path.iterdir()
    claim.release()
    path.touch()
    assert claims.take(url) is None
    assert claims.take(b"http://b.example/") not in (None, FREE)
    os.utime(path, (time.time() - HELD_SECONDS - 1,) * 2)
    mine = claims.take(url)
    assert mine not in (None, FREE)
    mine.release()
    mine.release()
    assert not path.exists()


def test_where_no_claim_can_be_written_everybody_asks():
    assert Claims(Path("/nowhere")).take(b"http://a.example/") is FREE
