"""How many cores this process may keep busy."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP_V2_QUOTA = Path("/sys/fs/cgroup/cpu.max")
CGROUP_V1_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
CGROUP_V1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def allowed_cores() -> int:
    """Return the number of cores the scheduler and the container's CPU quota allow, at least 1."""
    cores = len(os.sched_getaffinity(0))
    quota = _container_quota()
    return cores if quota is None else max(1, min(cores, round(quota)))


def _container_quota() -> float | None:
    try:
        if CGROUP_V2_QUOTA.exists():
            quota, period = CGROUP_V2_QUOTA.read_text().split()
        else:
            quota, period = CGROUP_V1_QUOTA.read_text(), CGROUP_V1_PERIOD.read_text()
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError):
        # No cgroup file system, or "max": nothing limits the process.
        return None
