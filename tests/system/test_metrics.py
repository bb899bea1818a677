"""What `gateway metrics` tells an operator: who answers what, and how long it takes."""

from __future__ import annotations

from gateway.testing import reply


def shown(site) -> dict[str, float]:
    lines = [line for line in site.command("metrics").stdout.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_responses_and_attempts_are_counted_by_their_class(gateway, origin):
    good, bad, gone = origin(), origin(reply(b"broken", status=b"500 Broken")), origin()
    names = [each.url.removeprefix("http://") for each in (good, bad, gone)]
    gone.close()
    site = gateway(
        workers=2,
        upstreams={"app": {"endpoints": [f"http://{name}" for name in names], "balancer": "round-robin"}},
        plugins=["balancing"],
        routes=[{"name": "all", "match": {"path": "/"}, "upstream": "app"}],
    )
    statuses = [site.get().status for _ in range(12)]
    told = shown(site)
    by_class = {kind: told[f'gateway_responses_total{{route="all",status="{kind}xx"}}'] for kind in range(1, 6)}
    assert by_class == {1: 0, 2: statuses.count(200), 3: 0, 4: 0, 5: statuses.count(500)}
    assert statuses.count(200) + statuses.count(500) == 12
    assert told['gateway_response_seconds_total{route="all"}'] > 0

    def attempts(name: str, kind: str) -> float:
        return told[f'gateway_attempts_total{{upstream="app",endpoint="{name}",status="{kind}"}}']

    assert attempts(names[0], "2xx") == statuses.count(200)
    assert attempts(names[1], "5xx") == statuses.count(500)
    assert attempts(names[2], "none") > 0
    assert attempts(names[2], "2xx") == 0
