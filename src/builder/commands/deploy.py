"""``framewire deploy``."""

from __future__ import annotations

import argparse

from builder.commands.options import (
    Commands,
    add_port_options,
    add_repository_option,
    positive,
    server_options,
)
from builder.deployment.docker_run import compose_service, docker_run
from builder.deployment.kubernetes import kubernetes_patch
from builder.deployment.needs import needs_of
from builder.deployment.wishes import Wishes
from builder.serving.server_options import REPOSITORY
from builder.serving.supervision.supervisor import HEALTH_PORT

PRINTED = {"docker": docker_run, "compose": compose_service, "kubernetes": kubernetes_patch}


def add_deploy(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "deploy", help="what a container needs to serve a repository, ready to be used"
    )
    add_repository_option(parser, "to serve")
    parser.add_argument(
        "--print",
        choices=PRINTED,
        nargs="?",
        default="docker",
        const="docker",
        help="a command line for docker, a service for compose, or a patch for Kubernetes "
        "(%(default)s)",
    )
    parser.add_argument("--image", help="of the container (the one docker/ makes)")
    parser.add_argument(
        "--cores", type=positive, metavar="N", help="of the container (one to each that decodes)"
    )
    parser.add_argument(
        "--gpus", type=int, metavar="N", help="of the container (1 where a network asks for it)"
    )
    wishes = Wishes(REPOSITORY)
    for option, default, explained in (
        ("versions", wishes.versions, "of a pipeline, loaded at once while servers change"),
        ("clients", wishes.clients, "that are connected at once"),
        ("in-flight", wishes.in_flight, "images that all clients have under way"),
        ("encoded-mib", wishes.encoded_mib, "an encoded image, on average over a full batch"),
    ):
        parser.add_argument(
            f"--{option}",
            type=positive,
            default=default,
            metavar="N",
            help=f"{explained} ({default})",
        )
    add_port_options(parser)
    parser.add_argument(
        "--health-port", type=int, default=HEALTH_PORT, help="of the supervisor (%(default)s)"
    )
    parser.set_defaults(run=run_deploy)


def run_deploy(arguments: argparse.Namespace) -> None:
    """Print what a container needs."""
    wishes = Wishes(
        repository=arguments.repository,
        image=arguments.image,
        cores=arguments.cores,
        gpus=arguments.gpus,
        versions=arguments.versions,
        clients=arguments.clients,
        in_flight=arguments.in_flight,
        encoded_mib=arguments.encoded_mib,
        published={**server_options(arguments).ports, "health": arguments.health_port},
    )
    print(PRINTED[arguments.print](needs_of(wishes)), end="")
