"""The processors that this process may use."""

import os
from pathlib import Path

_SHARE = Path("/sys/fs/cgroup/cpu.max")  # of Linux control groups, version 2


def processors() -> int:
    """The number of processors that this process may use; several defaults are multiples of it.

    Respects `taskset`, cpusets, and the share of time of a container.
    """
    if hasattr(os, "sched_getaffinity"):
        number = len(os.sched_getaffinity(0))
    else:
        number = os.cpu_count() or 1
    try:
        quota, period = map(int, _SHARE.read_text().split())  # microseconds, "max" for no limit
    except (OSError, ValueError):
        return number
    return min(number, max(1, -(-quota // period)))
