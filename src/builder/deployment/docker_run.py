"""``docker run`` and a fragment for ``compose.yaml`` with what a container needs."""

from __future__ import annotations

import shlex
from typing import Any

import yaml

from builder.deployment.needs import Needs

# Where the images of docker/ look for the repository, and keep what they compile.
REPOSITORY_IN_CONTAINER = "/models"
PLANS_IN_CONTAINER = "/var/cache/framewire"
PLANS_VOLUME = "framewire-plans"
# What NVIDIA says a Triton with a GPU should have: memory that stays put without limit, and stacks
# of 64 MiB.
GPU_MEMLOCK = -1
GPU_STACK_BYTES = 64 * 2**20


def docker_run(needs: Needs) -> str:
    """Return a command line, and above it a comment for every number."""
    repository = needs.repository.resolve()
    options = [
        "--detach",
        "--restart unless-stopped",
        f"--cpus {needs.cores}",
        f"--memory {needs.memory_mib}m --memory-swap {needs.memory_mib}m",
        f"--shm-size {needs.shared_memory_mib}m",
        f"--ulimit nofile={needs.open_files}:{needs.open_files}",
        f"--stop-timeout {needs.stop_s}",
        "--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges",
        *(f"--publish {each}" for each in needs.published),
        "--volume " + shlex.quote(f"{repository}:{REPOSITORY_IN_CONTAINER}:ro"),
    ]
    if needs.gpus:
        options += [
            f"--gpus {needs.gpus}",
            f"--ulimit memlock={GPU_MEMLOCK} --ulimit stack={GPU_STACK_BYTES}",
            f"--volume {PLANS_VOLUME}:{PLANS_IN_CONTAINER}",
        ]
    command = " \\\n".join(["docker run", *(f"    {option}" for option in options)])
    return f"{_comment(needs)}{command} \\\n    {shlex.quote(needs.image)}\n"


def compose_service(needs: Needs) -> str:
    """Return a service of a compose file, and above it a comment for every number."""
    repository = needs.repository.resolve()
    service: dict[str, Any] = {
        "image": needs.image,
        "restart": "unless-stopped",
        "cpus": needs.cores,
        "mem_limit": f"{needs.memory_mib}m",
        "memswap_limit": f"{needs.memory_mib}m",
        "mem_reservation": f"{needs.usual_memory_mib}m",
        "shm_size": f"{needs.shared_memory_mib}m",
        "stop_grace_period": f"{needs.stop_s}s",
        "ulimits": {"nofile": needs.open_files},
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - the container's own
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "ports": list(needs.published),
        "volumes": [f"{repository}:{REPOSITORY_IN_CONTAINER}:ro"],
    }
    document: dict[str, Any] = {"services": {"framewire": service}}
    if needs.gpus:
        service["ulimits"] |= {"memlock": GPU_MEMLOCK, "stack": GPU_STACK_BYTES}
        service["volumes"].append(f"{PLANS_VOLUME}:{PLANS_IN_CONTAINER}")
        device = {"driver": "nvidia", "count": needs.gpus, "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [device]}}}
        document["volumes"] = {PLANS_VOLUME: {}}
    return _comment(needs) + str(yaml.safe_dump(document, sort_keys=False))


def _comment(needs: Needs) -> str:
    return "".join(f"# {reason}\n" for reason in needs.reasons())
