"""``make manifests``: builds every overlay of docker/kubernetes and validates what comes of it.

    python -m tests.docker.manifests [FOLDER]

builds with the kustomize inside kubectl, and holds every resource against the official schemas of
Kubernetes, strictly: a field that they do not know is an error. The kinds of KEDA and of the
operator of Prometheus are not among them and are named; what they refer to is checked in
test_manifests.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from tests.conftest import ROOT

KUBERNETES = ROOT / "docker" / "kubernetes"
OVERLAYS = tuple(sorted(folder.name for folder in (KUBERNETES / "overlays").iterdir()))
# The oldest that is meant to work (appProtocol and probes as they are used), and the newest known.
VERSIONS = ("1.29", kubernetes_validate.latest_version())
WITHOUT_SCHEMA = {("keda.sh/v1alpha1", "ScaledObject"), ("monitoring.coreos.com/v1", "PodMonitor")}

Resource = dict[str, Any]


def built(folder: Path) -> list[Resource]:
    """The resources that kustomize makes of a folder."""
    kubectl = Path(sys.executable).parent / "kubectl"
    done = subprocess.run(
        [str(kubectl), "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode or done.stderr:
        raise ValueError(f"{folder}: {done.stderr.strip()}")
    return list(yaml.safe_load_all(done.stdout))


def validated(resource: Resource) -> bool:
    """Whether there is a schema; raises ``ValidationError`` where the resource contradicts it."""
    if (resource["apiVersion"], resource["kind"]) in WITHOUT_SCHEMA:
        return False
    for version in VERSIONS:
        kubernetes_validate.validate(resource, version, strict=True)
    return True


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for overlay in OVERLAYS:
        resources = built(KUBERNETES / "overlays" / overlay)
        for resource in resources:
            state = "valid" if validated(resource) else "no official schema"
            print(f"{overlay:12}{resource['kind']:26}{resource['metadata']['name']:36}{state}")
        (folder / f"{overlay}.yaml").write_text(yaml.safe_dump_all(resources, sort_keys=False))
    print(f"valid for Kubernetes {VERSIONS[0]} to {VERSIONS[1]}; written to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "manifests")
