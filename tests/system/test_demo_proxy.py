"""The demo of reverse-proxy: it goes past every stop, and leaves nothing behind."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.testing import wait_until
from gateway.testing.tree import is_alive, tree_of


def test_the_tour_goes_past_every_stop_and_control_c_ends_everything(demo):
    touring = demo("reverse-proxy", "--step", "0.1")
    told = ""
    for line in touring.stdout:
        told += line
        if "gateway metrics" in line:
            break
    everyone = tree_of(touring.pid)
    assert len(everyone) >= 3, "the demo, the supervisor, a worker"
    rest, errors = touring.interrupt()
    assert (touring.returncode, errors) == (0, "")
    assert "✗" not in told
    stops = re.findall(r"^(\d) of 6  (.+)$", told, re.MULTILINE)
    assert [number for number, _ in stops] == list("123456")
    for found in (
        r"from the cache \d+ times faster",
        "20 answers, written once",
        r"\d\d% saved on the way",
        r"\d+ stale pages? and no error",
        r"\d+ stored responses forgotten",
        "edition 1 before, edition 2 after",
        "parts of 1,000 bytes came",
        "who has it already is sent nothing",
    ):
        assert re.search(f"^  ✓ {found}$", told, re.MULTILINE), found
    assert told.count("✓ no requests failed") == 6
    for coding in ("identity", "gzip", "br", "zstd"):
        assert re.search(rf"^  {coding} +[\d,]+ bytes .+ gateway; hit; ", told, re.MULTILINE), coding
    summary = r"^\d+ requests: fresh \d+, stale [1-9]\d*, confirmed \d+, fetched \d+; none failed"
    assert re.search(summary, rest, re.MULTILINE)
    wait_until(lambda: not any(map(is_alive, everyone)), message="something was left behind")
    assert not Path(re.search(r"^files +(\S+)$", told, re.MULTILINE)[1]).parent.exists()
