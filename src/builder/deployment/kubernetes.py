"""The patch that gives a Kubernetes Deployment what its container needs."""

from __future__ import annotations

from typing import Any

import yaml

from builder.deployment.needs import Needs

# As docker/kubernetes/base calls them.
NAME = "framewire"
SHARED_MEMORY_VOLUME = "shared-memory"
GPU_RESOURCE = "nvidia.com/gpu"
# So long a pod that is to end goes on as before, until nobody sends it anything new.
PRE_STOP_S = 10
# Compiling a plan may take many minutes, and there is no supervisor before.
STARTUP_S = 300
STARTUP_WITH_PLAN_S = 3600
PROBE_S = 10


def kubernetes_patch(needs: Needs) -> str:
    """Return a patch for the Deployment, and above it a comment for every number.

    A strategic merge patch: what it does not name stays as it is. Kubernetes has no limit of open
    files; the node's container runtime sets it.
    """
    startup_s = STARTUP_WITH_PLAN_S if needs.gpus else STARTUP_S
    container = {
        "name": NAME,
        "resources": _resources(needs),
        # A pod whose startup probe fails is started again, for ever where one pipeline of several
        # does not load: so it asks whether there is a supervisor. Where nothing loads that ends.
        "startupProbe": {
            **_ask("/livez"),
            "periodSeconds": PROBE_S,
            "failureThreshold": startup_s // PROBE_S,
            "timeoutSeconds": PROBE_S,
        },
        "readinessProbe": {
            **_ask("/readyz"),
            "periodSeconds": 5,
            "failureThreshold": 1,
            "timeoutSeconds": PROBE_S,
        },
    }
    shared_memory = {
        "name": SHARED_MEMORY_VOLUME,
        "emptyDir": {"medium": "Memory", "sizeLimit": f"{needs.shared_memory_mib}Mi"},
    }
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME},
        "spec": {
            "template": {
                "spec": {
                    "terminationGracePeriodSeconds": PRE_STOP_S + needs.stop_s,
                    "containers": [container],
                    "volumes": [shared_memory],
                }
            }
        },
    }
    comment = "".join(f"# {reason}\n" for reason in needs.reasons())
    comment += f"# terminationGracePeriodSeconds: {PRE_STOP_S} s more, for the preStop hook\n"
    return comment + str(yaml.safe_dump(patch, sort_keys=False))


def _resources(needs: Needs) -> dict[str, Any]:
    # Without a limit of its cores a server starts threads, and memory for them, for all of the
    # node's.
    limits: dict[str, Any] = {"cpu": needs.cores, "memory": f"{needs.memory_mib}Mi"}
    if needs.gpus:
        limits[GPU_RESOURCE] = needs.gpus
    return {
        "requests": {"cpu": needs.cores, "memory": f"{needs.usual_memory_mib}Mi"},
        "limits": limits,
    }


def _ask(path: str) -> dict[str, Any]:
    """Ask the supervisor, which sends images through the pipelines; Triton does not notice."""
    return {"httpGet": {"path": path, "port": "health"}}
