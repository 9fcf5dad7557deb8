"""Certificates that are wrong, expired or missing; endpoints that are forbidden; wrong keys."""

from __future__ import annotations

import datetime
import http.client
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import trustme

from builder.serving.ports import free_ports
from tests.drill.load import AT_ONCE, SQUARES
from tests.drill.memory import MemoryWatch
from tests.drill.outcome import Outcome
from tests.drill.repositories import NAME, tiny_repository
from tests.drill.scale import Scale
from tests.drill.servers import Server, served
from tests.gateway.running import gateway
from tests.serving import framewire
from thin_client import Connection, Detector, FramewireError

KEY = "a-key-that-only-the-drill-knows"
WRONG_KEY = KEY[:-1] + "x"
HEADER = "triton-grpc-protocol-framewire-admin"
GATEWAY_TOKEN = "a-token-of-the-drill"  # noqa: S105
DAY = datetime.timedelta(days=1)
PATIENCE_S = 120


class Door:
    """Counts who was refused, and whether the sentence said why."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def refuses(self, who: str, attempt: Callable[[], str | None], words: str) -> None:
        """Try something that must be refused.

        Args:
            who: knocks, in words.
            attempt: returns the sentence it is refused with, None when it gets in.
            words: a pattern that the sentence must hold.
        """
        self._outcome.sent += 1
        sentence = attempt()
        if sentence is None:
            self._outcome.lost += 1
            self._outcome.broken.append(f"{who} got in")
            return
        self._outcome.refused += 1
        if not re.search(words, sentence, re.IGNORECASE):
            self._outcome.broken.append(f"{who} was not told why: {sentence.strip()}")

    def admits(self, who: str, attempt: Callable[[], str | None]) -> None:
        """Try something that must be answered."""
        self._outcome.sent += 1
        sentence = attempt()
        if sentence is None:
            self._outcome.answered += 1
        else:
            self._outcome.lost += 1
            self._outcome.broken.append(f"{who} was refused: {sentence}")


def run(scale: Scale, folder: Path) -> Outcome:
    """Knock at every door with everything but what opens it."""
    outcome = Outcome("certificates, keys and tokens: wrong, expired, missing")
    door = Door(outcome)
    repository = tiny_repository(folder)
    pem = _certificates(folder)
    _starting(door, repository, pem)
    with (
        served(
            repository,
            *_tls(pem, "server"),
            *("--tls-client-ca", str(pem / "ca.pem"), "--restrict"),
            environment={"FRAMEWIRE_ADMIN_KEY": KEY},
        ) as server,
        MemoryWatch(lambda: [server]) as watch,
    ):
        _certificates_of_clients(door, server, pem)
        _forbidden(door, server, repository, pem)
    outcome.peak_mb = watch.peak_mb
    for name, words in (
        ("expired", "certificate has expired"),
        ("elsewhere", "is for another host"),
    ):
        with served(repository, *_tls(pem, name)) as server:
            door.refuses(
                f"a server with the certificate {name}",
                _detecting(server, root_certificates=pem / "ca.pem"),
                words,
            )
    with served(repository) as server:
        door.refuses(
            "TLS to a server without it",
            _detecting(server, root_certificates=pem / "ca.pem"),
            "TLS was asked for",
        )
        _gateway_tokens(door, server)
    return outcome


def _starting(door: Door, repository: Path, pem: Path) -> None:
    """Files with which a server does not even start."""
    empty = pem / "empty.pem"
    empty.touch()
    server_key = ("--tls-key", str(pem / "server.key"))
    for who, options, words in (
        ("a certificate that is not there",
         ("--tls-certificate", str(pem / "none.pem"), *server_key), "none.pem cannot be read"),
        ("a key that is not there",
         ("--tls-certificate", str(pem / "server.pem"), "--tls-key", str(pem / "none.key")),
         "none.key cannot be read"),
        ("a certificate without a key",
         ("--tls-certificate", str(pem / "server.pem")), "belong together"),
        ("the key of another certificate",
         ("--tls-certificate", str(pem / "server.pem"), "--tls-key", str(pem / "client.key")),
         "KEY_VALUES_MISMATCH"),
        ("a certificate that is none",
         ("--tls-certificate", str(empty), *server_key), "cannot be used"),
        ("authorities that are none",
         (*_tls(pem, "server"), "--tls-client-ca", str(empty)), "tls-client-ca .* cannot be used"),
    ):  # fmt: skip
        door.refuses(who, lambda options=options: _start(repository, *options), words)
    door.refuses(
        "an admin key of five letters",
        lambda: _start(repository, "--restrict", environment={"FRAMEWIRE_ADMIN_KEY": "short"}),
        "16 to 256",
    )


def _certificates_of_clients(door: Door, server: Server, pem: Path) -> None:
    """Who the server lets in, where clients must show certificates."""
    ca = pem / "ca.pem"
    door.admits(
        "a client with its certificate",
        _detecting(server, root_certificates=ca, **_pair(pem, "client")),
    )
    for who, files, words in (
        ("a client without a certificate", {"root_certificates": ca}, "or a client certificate"),
        ("a client of another authority",
         {"root_certificates": ca, **_pair(pem, "stranger")}, "authority it does not know"),
        ("a client whose certificate has expired",
         {"root_certificates": ca, **_pair(pem, "expired")}, "may be expired"),
        ("a client that trusts another authority",
         {"root_certificates": pem / "stranger-ca.pem", **_pair(pem, "client")},
         "server's certificate is not from an authority of the root"),
        ("a client that trusts a file that is not there",
         {"root_certificates": pem / "none.pem"}, "cannot read the root certificates"),
        ("a client with the key of another",
         {"root_certificates": ca, "private_key": pem / "server.key",
          "certificate_chain": pem / "client.pem"}, "key|certificate"),
    ):  # fmt: skip
        door.refuses(who, _detecting(server, **files), words)
    door.refuses("a client without TLS", _detecting(server, secure=False), "wants TLS")


def _forbidden(door: Door, server: Server, repository: Path, pem: Path) -> None:
    """What wants the admin key, with none, with a wrong one, and with the right one."""
    files = {"root_certificates": pem / "ca.pem", **_pair(pem, "client")}
    door.admits("statistics with the key", _reporting(server, {HEADER: KEY}, files))
    door.refuses("statistics without a key", _reporting(server, {}, files), "admin key")
    door.refuses(
        "statistics with a wrong key", _reporting(server, {HEADER: WRONG_KEY}, files), "admin key"
    )
    load = framewire(
        *("load", NAME, "--repository", str(repository), "--url", f"grpcs://{server.url}"),
        *("--root-certificates", str(pem / "ca.pem")),
        *("--private-key", str(pem / "client.key")),
        *("--certificate-chain", str(pem / "client.pem")),
    )
    door.refuses("loading a model without a key", lambda: _command(load), "FRAMEWIRE_ADMIN_KEY")
    door.refuses(
        "loading a model with a wrong key",
        lambda: _command(load, {"FRAMEWIRE_ADMIN_KEY": WRONG_KEY}),
        "FRAMEWIRE_ADMIN_KEY",
    )
    for who, method, path in (
        ("a model loaded over HTTP", "POST", f"/v2/repository/models/{NAME}/load"),
        ("shared memory registered over HTTP", "POST", "/v2/systemsharedmemory/region/x/register"),
        ("settings of traces over HTTP", "POST", "/v2/trace/setting"),
        ("settings of the log over HTTP", "POST", "/v2/logging"),
        ("statistics over HTTP", "GET", f"/v2/models/{NAME}/stats"),
        ("inference over HTTP beside TLS", "POST", f"/v2/models/{NAME}/infer"),
    ):
        for key in ({}, {"framewire-admin": WRONG_KEY}):
            door.refuses(
                f"{who} with {'a wrong' if key else 'no'} key",
                lambda method=method, path=path, key=key: _http(server, method, path, key),
                "restricted",
            )


def _gateway_tokens(door: Door, server: Server) -> None:
    with gateway(
        server.url, "--model", NAME, environment={"FRAMEWIRE_GATEWAY_TOKEN": GATEWAY_TOKEN}
    ) as running:
        for who, headers in (
            ("the gateway without a token", {}),
            ("the gateway with a wrong token", {"Authorization": f"Bearer {GATEWAY_TOKEN}x"}),
        ):

            def attempt(headers: Mapping[str, str] = headers) -> str | None:
                status, answer = running.post(SQUARES[0], **headers)
                return None if status == 200 else str(answer)

            door.refuses(who, attempt, "token")
        door.admits(
            "the gateway with its token",
            lambda: (
                None
                if running.post(SQUARES[0], Authorization=f"Bearer {GATEWAY_TOKEN}")[0] == 200
                else "refused"
            ),
        )


def _detecting(server: Server, *, secure: bool = True, **files: Path) -> Callable[[], str | None]:
    def attempt() -> str | None:
        try:
            url = f"{'grpcs' if secure else 'grpc'}://{server.url}"
            with Detector(Connection(url, **files), NAME, retry=AT_ONCE) as detector:
                detector.detect(SQUARES[0])
        except FramewireError as error:
            return str(error)
        return None

    return attempt


def _reporting(
    server: Server, headers: Mapping[str, str], files: Mapping[str, Path]
) -> Callable[[], str | None]:
    def attempt() -> str | None:
        connection = Connection(f"grpcs://{server.url}", headers=headers, **files)
        try:
            with Detector(connection, NAME, retry=AT_ONCE) as detector:
                detector.report()
        except FramewireError as error:
            return str(error)
        return None

    return attempt


def _http(server: Server, method: str, path: str, headers: Mapping[str, str]) -> str | None:
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=10)
    try:
        connection.request(method, path, b"{}" if method == "POST" else None, dict(headers))
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        return None if answer.status == http.client.OK else text
    finally:
        connection.close()


def _start(
    repository: Path, *options: str, environment: Mapping[str, str] | None = None
) -> str | None:
    ports = [str(port) for port in free_ports(3)]
    names = ("--grpc-port", "--http-port", "--metrics-port")
    numbers = [text for pair in zip(names, ports, strict=True) for text in pair]
    return _command(
        framewire("serve", "--repository", str(repository), *numbers, *options), environment
    )


def _command(command: list[str], environment: Mapping[str, str] | None = None) -> str | None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    return None if done.returncode == 0 else done.stderr


def _tls(pem: Path, name: str) -> tuple[str, ...]:
    return ("--tls-certificate", str(pem / f"{name}.pem"), "--tls-key", str(pem / f"{name}.key"))


def _pair(pem: Path, name: str) -> dict[str, Path]:
    return {"private_key": pem / f"{name}.key", "certificate_chain": pem / f"{name}.pem"}


def _certificates(folder: Path) -> Path:
    """Write the authority, another one, and what they signed."""
    pem = folder / "certificates"
    pem.mkdir(exist_ok=True)
    ours, others = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(pem / "ca.pem"))
    others.cert_pem.write_to_path(str(pem / "stranger-ca.pem"))
    now = datetime.datetime.now(datetime.timezone.utc)
    here, past = ("127.0.0.1", "localhost"), {"not_before": now - 9 * DAY, "not_after": now - DAY}
    for name, authority, hosts, times in (
        ("server", ours, here, {}),
        ("client", ours, here, {}),
        ("expired", ours, here, past),
        ("elsewhere", ours, ("elsewhere.example",), {}),
        ("stranger", others, here, {}),
    ):
        issued = authority.issue_cert(*hosts, **times)
        issued.private_key_pem.write_to_path(str(pem / f"{name}.key"))
        for part in issued.cert_chain_pems:
            part.write_to_path(str(pem / f"{name}.pem"), append=True)
    return pem
