"""Range: the parts lie within the representation, in number and overlap bounded; what is answered adds up."""

from __future__ import annotations

from itertools import pairwise

from fuzz_input import lines, number

from gateway.model import Response
from gateway.semantics.ranges import MAX_RANGES, Unsatisfiable, parse_ranges, ranged


def check(data: bytes) -> None:
    said, value = lines(data, 2)
    size = number(said, 400)
    body = bytes(index % 251 for index in range(size))
    response = ranged(Response(200, {"content-length": str(size), "content-type": "text/plain"}, body), value)
    assert response.headers.get_all("content-length") == [b"%d" % len(response.body)]
    try:
        found = parse_ranges(value, size)
    except Unsatisfiable:
        assert (response.status, response.body) == (416, b"")
        return
    assert response.status == (206 if found else 200)
    assert len(found) <= MAX_RANGES
    assert all(0 <= part.start < part.end <= size for part in found)
    assert all(one.end <= other.start for one, other in pairwise(sorted(found)))
    assert len(found) != 1 or response.body == body[slice(*found[0])]
    assert len(response.body) <= size + 200 * (len(found) + 1)
