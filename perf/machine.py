"""The machine that a run was taken on: its kind, never its name.

Nothing here identifies a host: no names, addresses or paths.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def machine() -> dict[str, str | int | float]:
    """CPU, cores, memory, kernel and how busy it was, for the head of a result."""
    kernel = re.match(r"\d+\.\d+", platform.release())
    return {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_mib": int((_field("/proc/meminfo", "MemTotal") or "0").split()[0]) // 1024,
        "kernel": f"{platform.system()} {kernel.group() if kernel else ''}".strip(),
        "distribution": _field("/etc/os-release", "PRETTY_NAME", "=").strip('"'),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _field(path: str, key: str, separator: str = ":") -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.partition(separator)
        if name.strip() == key:
            return value.strip()
    return ""
