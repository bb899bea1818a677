"""What an operator asks and does while a gateway runs: explain; list, drain, enable and weigh endpoints.

Owns the commands and their answers. The supervisor passes them on; each worker carries them out (`gateway.app`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gateway.config.types import nearest
from gateway.errors import ConfigurationError
from gateway.metrics import Sample, added_results, added_up, sample_of
from gateway.process.member import NoAnswer
from gateway.upstream.agreement import Publish, publish_mark, publish_weight
from gateway.upstream.balancer import WEIGHED_INSTEAD
from gateway.upstream.endpoint import EndpointState

if TYPE_CHECKING:
    from gateway.process.member import Member

OPERATOR = "operator"
"""The source of marks that a person sets."""

STATES = {
    "drain": EndpointState.DRAINING,
    "maintenance": EndpointState.MAINTENANCE,
    "enable": EndpointState.UP,
}
"""Commands that set a state."""

COMMANDS = frozenset(("endpoints", "explain", "metrics", "weight", *STATES))
MOST_WEIGHT = 65535


async def answer(
    command: str, arguments: dict[str, Any], members: Sequence[Member], publish: Publish
) -> dict[str, Any]:
    """Carry out a command, which may be a plugin's. Raises ConfigurationError for what cannot be done."""
    if not members:
        raise ConfigurationError("no worker is running at the moment; the gateway's log says why")
    if command == "explain":
        return await _explain(arguments["request"], members)
    if command not in COMMANDS:
        return await _ask_plugins(command, arguments, members)
    answers, warnings = await _ask_all("endpoints", members)
    endpoints = merged(list(answers.values()))
    if command == "endpoints":
        reply: dict[str, Any] = {"endpoints": endpoints}
        warnings += _without_any(list(answers.values()))
    elif command == "metrics":
        numbers, lost = await _ask_all("metrics", list(answers))
        warnings += lost
        counted = [each or () for each in numbers.values()]
        reply = {"metrics": added_up([*counted, _states(endpoints), _attempts(endpoints)])}
    else:
        reply = {"done": _change(command, arguments, endpoints, publish)}
    return {**reply, "warnings": warnings}


async def _ask_all(question: Any, members: Sequence[Member]) -> tuple[dict[Member, Any], list[str]]:
    """What each says, and a line on each that says nothing. Raises ConfigurationError if nobody answers."""
    said = await asyncio.gather(*(member.ask(question) for member in members), return_exceptions=True)
    answers: dict[Member, Any] = {}
    silent: list[str] = []
    for member, answer in zip(members, said, strict=True):
        if isinstance(answer, NoAnswer):
            silent.append(str(answer))
        elif isinstance(answer, BaseException):
            raise answer
        else:
            answers[member] = answer
    if not answers:
        raise ConfigurationError("; ".join(silent))
    return answers, silent


async def _explain(request: Any, members: Sequence[Member]) -> dict[str, Any]:
    """All would say the same: the first that answers is heard."""
    silent: list[str] = []
    for member in members:
        try:
            explained = await member.ask({"explain": request})
        except NoAnswer as error:
            silent.append(str(error))
            continue
        return {"error": explained["error"]} if "error" in explained else {"explained": explained}
    raise ConfigurationError("; ".join(silent))


def _change(command: str, arguments: dict[str, Any], endpoints: list[dict[str, Any]], publish: Publish) -> str:
    """Have an endpoint's state or weight changed in all workers; one that hangs hears of it when it goes on."""
    upstream, endpoint = _found(endpoints, str(arguments.get("upstream")), str(arguments.get("endpoint")))
    place = {"upstream": upstream, "endpoint": endpoint}
    if command == "weight":
        weight = arguments.get("weight")
        if type(weight) is not int or not 0 <= weight <= MOST_WEIGHT:
            raise ConfigurationError(f"a weight is a whole number from 0 to {MOST_WEIGHT}, not {weight!r}")
        publish_weight(publish, upstream, endpoint, weight)
        return f"{upstream} {endpoint}: weight {weight}{_unheard(weight, endpoints, place)}"
    state = STATES[command]
    reason = str(arguments.get("reason") or _reason_so_far(endpoints, place, state) or "by the operator")
    publish_mark(publish, upstream, endpoint, OPERATOR, state, reason)
    return f"{upstream} {endpoint}: {_outcome(state, endpoints, place)}"


async def _ask_plugins(command: str, arguments: dict[str, Any], members: Sequence[Member]) -> dict[str, Any]:
    """What each worker has done, added up. What one has not done is an error, even if the others have done it."""
    said, silent = await _ask_all({"command": command, "arguments": arguments}, members)
    answers = [answer for answer in said.values() if answer is not None]
    for answer in answers:
        if "error" in answer:
            raise ConfigurationError(answer["error"])
    result = added_results(answers)
    if result is None:
        raise ConfigurationError(f"no plugin of the running gateway knows the command {command!r}")
    if silent:
        raise ConfigurationError(f"{'; '.join(silent)}; the other workers have carried out {command!r}")
    return {"result": result}


def merged(answers: Sequence[list[dict[str, Any]] | None]) -> list[dict[str, Any]]:
    """One list out of those of all workers: counts are summed, everything else is the first one's."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for listed in answers:
        for item in _with_endpoints(listed):
            place = item["upstream"], item["endpoint"]
            known = found.setdefault(place, {**item, "in_flight": 0, "connections": 0, "answers": [0] * 6})
            known["in_flight"] += item["in_flight"]
            known["connections"] += item["connections"]
            known["answers"] = list(map(sum, zip(known["answers"], item["answers"], strict=True)))
    return list(found.values())


def _with_endpoints(listed: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    return [item for item in listed or () if item["endpoint"] is not None]


def _without_any(answers: Sequence[list[dict[str, Any]] | None]) -> list[str]:
    """A line on each upstream that has no endpoint in some worker: it is in no list of endpoints."""
    empty = {item["upstream"] for listed in answers for item in listed or () if item["endpoint"] is None}
    return [f"upstream {name} has no endpoints: what is sent there gets 503" for name in sorted(empty)]


def _states(endpoints: list[dict[str, Any]]) -> list[Sample]:
    """What all workers agree upon: whether each endpoint is up."""
    meaning = "Whether an endpoint may be picked: 1, or 0 while it drains, is down or in maintenance"
    return [
        sample_of("gauge", "endpoint_up", meaning, item["state"] == EndpointState.UP.value, **_place(item))
        for item in endpoints
    ]


def _attempts(endpoints: list[dict[str, Any]]) -> list[Sample]:
    """What endpoints have answered, retries and all."""
    meaning = "Attempts at an endpoint by the class of its answer; none: it ended before it had one"
    classes = ("none", *(f"{kind}xx" for kind in range(1, 6)))
    return [
        sample_of("counter", "attempts_total", meaning, count, **_place(item), status=status)
        for item in endpoints
        for status, count in zip(classes, item["answers"], strict=True)
    ]


def _place(item: dict[str, Any]) -> dict[str, str]:
    return {"upstream": item["upstream"], "endpoint": item["endpoint"]}


def _found(endpoints: list[dict[str, Any]], upstream: str, endpoint: str) -> tuple[str, str]:
    upstreams = {item["upstream"] for item in endpoints}
    if upstream not in upstreams:
        raise ConfigurationError(f"no upstream {upstream!r}{nearest(upstream, upstreams)}")
    names = [item["endpoint"] for item in endpoints if item["upstream"] == upstream]
    name = endpoint.removeprefix("http://").removeprefix("https://")
    if name not in names:
        raise ConfigurationError(f"upstream {upstream!r} has no endpoint {endpoint!r}{nearest(name, names)}")
    return upstream, name


def _unheard(weight: int, endpoints: list[dict[str, Any]], place: dict[str, str]) -> str:
    """That a weight makes no difference, if that is so; 0 does with every balancer."""
    (item,) = [item for item in endpoints if place.items() <= item.items()]
    if not weight or not item.get("ignores_weights"):
        return ""
    return f", of which the balancer {item['balancer']!r} takes no notice; {WEIGHED_INSTEAD!r} would"


def _reason_so_far(endpoints: list[dict[str, Any]], place: dict[str, str], state: EndpointState) -> str:
    """Why the operator holds it in this state already: a command without a reason does not take that away."""
    (item,) = [item for item in endpoints if place.items() <= item.items()]
    mark = item["marks"].get(OPERATOR, {})
    return str(mark["reason"]) if mark.get("state") == state.value else ""


def _outcome(state: EndpointState, endpoints: list[dict[str, Any]], place: dict[str, str]) -> str:
    (item,) = [item for item in endpoints if place.items() <= item.items()]
    if state is EndpointState.DRAINING:
        return f"draining, {item['in_flight']} in flight"
    others = {source: mark for source, mark in item["marks"].items() if source != OPERATOR}
    if state is EndpointState.UP and others:
        held = "; ".join(f"{mark['state']} for {source}: {mark['reason']}" for source, mark in others.items())
        return f"enabled, but still {held}"
    return "enabled" if state is EndpointState.UP else state.value
