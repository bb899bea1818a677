"""Numbers that tell how a worker does: what each is called, and how it is read when somebody asks.

Owns names and labels. Nothing is counted here: whoever does something counts it, and says how the count is read.
What the workers of a gateway say is put together, and written for Prometheus, by `gateway.process.operations` and
`gateway metrics`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from typing import Any, Literal, TypeAlias

log = logging.getLogger("gateway.metrics")

Kind: TypeAlias = Literal["counter", "gauge"]

Sample: TypeAlias = dict[str, Any]
"""`name`, `kind`, `meaning`, `labels`, `value`, and `is_least` where those of workers are not added: plain data."""

EXPIRY = (
    "certificate_expiry_timestamp_seconds",
    "When the first of a listener's certificates expires, in seconds since 1970; 0 if there is none yet",
)
"""Name and meaning, for the core's certificates and for those of an edge."""

_NAME = re.compile(r"[a-z][a-z0-9_]*").fullmatch


class Metrics:
    """The metrics of one App. They begin anew when a reload replaces it."""

    def __init__(self) -> None:
        self._read: list[tuple[Sample, Callable[[], float]]] = []
        self._known: dict[str, tuple[Kind, str]] = {}

    def counter(self, name: str, meaning: str, read: Callable[[], float], /, **labels: str) -> None:
        """Show a number that only grows, as `gateway_NAME_total`. `read` is called when somebody asks.

        The name may be given with its `_total`, as Prometheus has it, or without.
        """
        self._add("counter", f"{name.removesuffix('_total')}_total", meaning, read, labels)

    def gauge(self, name: str, meaning: str, read: Callable[[], float], /, **labels: str) -> None:
        """Show a number that comes and goes, as `gateway_NAME`; those of several workers are added up."""
        self._add("gauge", name, meaning, read, labels)

    def least(self, name: str, meaning: str, read: Callable[[], float], /, **labels: str) -> None:
        """As `gauge`, but of several workers the least counts: a moment, a room that is left."""
        self._add("gauge", name, meaning, read, labels, is_least=True)

    def expiry(self, listener: str, read: Callable[[], float]) -> None:
        """Show when the first certificate of a listener expires, in seconds since 1970; 0 if there is none yet."""
        self.least(*EXPIRY, read, listener=listener)

    def _add(
        self,
        kind: Kind,
        name: str,
        meaning: str,
        read: Callable[[], float],
        labels: dict[str, str],
        *,
        is_least: bool = False,
    ) -> None:
        for word in (name.removesuffix("_total"), *labels):
            if not _NAME(word):
                raise ValueError(f"{word!r} is no name of a metric or label: expected letters a to z, digits and _")
        if not callable(read):
            raise ValueError(f"metric {name!r}: expected a function that gives the number, not {read!r}")
        if self._known.setdefault(name, (kind, meaning)) != (kind, meaning):
            raise ValueError(f"metric {name!r}: the name is taken by another {self._known[name][0]}")
        texts = {label: str(value) for label, value in labels.items()}
        sample: Sample = {"name": f"gateway_{name}", "kind": kind, "meaning": meaning, "labels": texts}
        self._read.append(({**sample, "is_least": True} if is_least else sample, read))

    def samples(self) -> list[Sample]:
        """Every metric as it stands now. One that cannot be read, or is no number, is logged and left out."""
        found = []
        for sample, read in self._read:
            try:
                value = read()
                if not isfinite(value):
                    raise ValueError(f"{value!r} is no finite number")
            except Exception as error:
                log.warning("metric %s cannot be read: %r", sample["name"], error)
            else:
                found.append({**sample, "value": value})
        return found


def sample_of(kind: Kind, name: str, meaning: str, value: float, **labels: str) -> Sample:
    """A number that is known already, of the metric `gateway_NAME`."""
    return {"name": f"gateway_{name}", "kind": kind, "meaning": meaning, "labels": labels, "value": value}


def added_up(lists: Iterable[Sequence[Sample]]) -> list[Sample]:
    """One list of those of all workers: values of the same name and labels are added, or the least is taken."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], Sample] = {}
    for samples in lists:
        for sample in samples:
            key = sample["name"], tuple(sorted(sample["labels"].items()))
            known = found.setdefault(key, {**sample, "value": None})
            before, value = known["value"], sample["value"]
            is_first = before is None
            known["value"] = value if is_first else min(before, value) if sample.get("is_least") else before + value
    return list(found.values())


def exposition(samples: Iterable[Sample]) -> str:
    """The text format of Prometheus, version 0.0.4."""
    lines: list[str] = []
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample["name"], []).append(sample)
    for name, alike in by_name.items():
        lines += [f"# HELP {name} {_escaped(alike[0]['meaning'])}", f"# TYPE {name} {alike[0]['kind']}"]
        lines += [f"{name}{_labels(sample['labels'])} {sample['value']:.17g}" for sample in alike]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: dict[str, str]) -> str:
    pairs = [f'{name}="{_escaped(value).replace(chr(34), chr(92) + chr(34))}"' for name, value in labels.items()]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def added_results(results: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """What came of a command in several places: numbers are added up, of anything else the first counts."""
    found: dict[str, Any] = {}
    for result in results:
        for key, value in result.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            found[key] = found[key] + value if is_number and key in found else found.get(key, value)
    return found if results else None
