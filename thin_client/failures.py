"""What a failed RPC means: gRPC's status and words to one of this package's exceptions."""

from __future__ import annotations

import logging
import re
from typing import Any

import grpc

from thin_client.contract import (
    OPTIONAL_PARAMETERS,
    READ_STATUSES,
    REQUEST_PARAMETERS,
    STATUS_SENTENCES,
)
from thin_client.errors import (
    AccessDenied,
    BadImage,
    DeadlineExceeded,
    FramewireError,
    InvalidRequestParameter,
    NotAPipeline,
    PipelineNotFound,
    PipelineNotReady,
    RequestRefused,
    ServerFailed,
    ServerOverloaded,
    ServerUnreachable,
)
from thin_client.retry import Budget

__all__ = [
    "clean_sentence",
    "diagnose",
    "has_lost_process",
    "is_transient",
    "late",
    "pause_or_raise",
]

_logger = logging.getLogger("thin_client")

# Triton puts these before a model's own sentence.
_PREFIX = re.compile(r"^(in ensemble '[^']*', |\[request id: [^\]]*\] |\[StatusCode\.\w+\] )")

# gRPC reports its own failures to connect with the same code as a server's refusal, so the words
# decide. They are gRPC core's (1.66 to 1.85) and Envoy's.
_TRANSPORT = re.compile(
    r"failed to connect|connections to all backends|connection (refused|reset|timed out|attempt)"
    r"|socket closed|broken pipe|name resol|dns resol|resolving|handshake|goaway|recvmsg|sendmsg"
    r"|empty address list|keepalive|\bpings?\b|http/?[12]|\btransport\b|stream (removed|refused)"
    r"|upstream (connect|request)|healthy upstream|rst_stream|end of stream",
    re.IGNORECASE,
)
_NOT_READY = re.compile(
    r"ready state|not ready|not healthy|no available version|stopp(ing|ed)|shutting down|unload",
    re.IGNORECASE,
)

# Triton's words for every request to a model whose process died, until it is started again.
_DEAD_PROCESS = re.compile(r"stub process .*is not healthy", re.IGNORECASE)

# Triton's word for an endpoint that wants a key, under the code of a server that is away.
_RESTRICTED = "This protocol is restricted"

# What a person can do about a connection that failed, by what gRPC says about it.
_REASONS = (
    (r"connection refused", "the connection is refused"),
    (r"wrong_version_number", "TLS was asked for (ssl), but the server does not speak it"),
    (r"certificate has expired", "the server's certificate has expired"),
    (r"certificate is not yet valid", "the server's certificate is not valid yet"),
    (r"hostname verification", "the server's certificate is for another host than this address"),
    (
        r"issuer certificate|self.signed|unable to verify",
        "the server's certificate is not from an authority of the root certificates"
        " (root_certificates, --root-certificates)",
    ),
    (r"certificate|handshake|ssl_error", "the TLS handshake failed, so check the certificates"),
    (r"resolv|resolution|name not found", "its name does not resolve"),
    (r"http1|http/1|parsing http/2", "what answers is no gRPC endpoint, so check the port"),
    (r"timed out|timeout", "no answer to the attempt to connect"),
    # All that TLS tells a client of why its certificate was refused.
    (
        r"failed to connect.*socket closed",
        "it hung up before the first call, as one does that wants TLS (ssl, --ssl), or a client"
        " certificate (certificate_chain, --certificate-chain), or another one than this, which may"
        " be expired or from an authority it does not know; Triton's HTTP port does it too (gRPC is"
        " 8001 by default)",
    ),
    (
        r"socket closed|connection reset|goaway|recvmsg|end of stream",
        "the connection was lost (Triton's HTTP port does that too; gRPC is 8001 by default)",
    ),
)

_SERVER_FAILED = "the server at {url} failed to answer ({code}: {said}); its log says why"
_DENIED = "the server at {url} denies access ({said}); check the credentials"
_BY_CODE: dict[grpc.StatusCode, tuple[type[FramewireError], str]] = {
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        DeadlineExceeded,
        "the server at {url} did not answer {within}; allow more time (timeout_s,"
        " --client-timeout)",
    ),
    grpc.StatusCode.INVALID_ARGUMENT: (
        RequestRefused,
        "the server at {url} refused the request: {said}",
    ),
    grpc.StatusCode.NOT_FOUND: (
        PipelineNotFound,
        "the server at {url} has no pipeline {model!r} ({said})",
    ),
    grpc.StatusCode.PERMISSION_DENIED: (AccessDenied, _DENIED),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (
        RequestRefused,
        "the request is too large for the server at {url} ({said})",
    ),
    grpc.StatusCode.UNAUTHENTICATED: (AccessDenied, _DENIED),
    grpc.StatusCode.UNIMPLEMENTED: (
        NotAPipeline,
        "what answers at {url} does not speak Triton's protocol ({said}); give the address of"
        " Triton's gRPC endpoint",
    ),
}


def pause_or_raise(error: grpc.RpcError, request: Any, url: str, budget: Budget) -> float:
    """Return how many seconds to wait before sending ``request`` again.

    Raises:
        FramewireError: there is no next try; says what ``error`` means.
    """
    failure = diagnose(error, request, url, budget.timeout_s)
    lost_process = has_lost_process(_details(error))
    transient = is_transient(error)
    if transient and not isinstance(failure, ServerOverloaded):
        budget.interrupted()
    pause_s = budget.pause_s(lost_process=lost_process) if transient else None
    if pause_s is None:
        # The server ends what nobody waits for, and may be the first to notice.
        is_late = transient and budget.remaining_s() == 0
        raise (late(url, budget.timeout_s) if is_late else failure) from error
    _logger.debug("%s; trying again in %.2f s", failure, pause_s)
    return pause_s


def late(url: str, timeout_s: float | None) -> DeadlineExceeded:
    """Return the exception of a call whose time is over."""
    _, sentence = _BY_CODE[grpc.StatusCode.DEADLINE_EXCEEDED]
    return DeadlineExceeded(sentence.format(url=url, within=_within(timeout_s)))


def is_transient(error: grpc.RpcError) -> bool:
    """Return whether the same request may well succeed a moment later."""
    code = error.code()
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return "larger than max" not in _details(error)
    if code is grpc.StatusCode.NOT_FOUND:
        # Triton's word for a model that it is loading, or unloading because it stops.
        return "no available versions" in _details(error)
    if code is grpc.StatusCode.CANCELLED:
        # Not by us: a call that we give up never comes here. A server that stops does that.
        return True
    if code is grpc.StatusCode.INTERNAL:
        return has_lost_process(_details(error))
    return code is grpc.StatusCode.UNAVAILABLE and not _is_restricted(error)


def has_lost_process(details: str) -> bool:
    """Return whether a server says that a model has lost its process."""
    return _DEAD_PROCESS.search(details) is not None


def _is_restricted(error: grpc.RpcError) -> bool:
    return _RESTRICTED in _details(error)


def clean_sentence(details: str) -> str:
    """Return a server's message without Triton's prefixes, and without a traceback."""
    lines = details.strip().splitlines()
    sentence = lines[0].strip() if lines else ""
    while (stripped := _PREFIX.sub("", sentence)) != sentence:
        sentence = stripped
    return sentence


def diagnose(
    error: grpc.RpcError, request: Any, url: str, timeout_s: float | None
) -> FramewireError:
    """Return the exception that says what a failed RPC means.

    Args:
        error: what gRPC raised.
        request: the message that was sent.
        url: the server's address as the user gave it.
        timeout_s: the whole call's deadline.
    """
    code = error.code()
    said = clean_sentence(_details(error)) or "no reason given"
    is_inference = hasattr(request, "raw_input_contents")

    if code is grpc.StatusCode.INVALID_ARGUMENT and is_inference:
        return _refused(request, said)
    if _is_restricted(error):
        return AccessDenied(
            f"the server at {url} answers this only with its admin key (--header); pipelines are"
            " called without, by their names (model, --model)"
        )
    if code is grpc.StatusCode.CANCELLED:
        return PipelineNotReady(
            f"the server at {url} broke the call off, as one does that stops; try again shortly"
        )
    if is_transient(error):
        return _unavailable(_details(error), said, url)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED and not is_inference:
        # Everything but inference is answered at once, or nobody is there.
        return _unreachable(url, f"no answer {_within(timeout_s)}")
    exception, sentence = _BY_CODE.get(code, (ServerFailed, _SERVER_FAILED))
    model = getattr(request, "model_name", "") or getattr(request, "name", "")
    return exception(
        sentence.format(
            url=url, said=said, model=model, code=code.name.lower(), within=_within(timeout_s)
        )
    )


def _within(timeout_s: float | None) -> str:
    return "in time" if timeout_s is None else f"within {timeout_s:g} s"


def _details(error: grpc.RpcError) -> str:
    return str(error.details() or "")


def _unavailable(details: str, said: str, url: str) -> FramewireError:
    if _NOT_READY.search(details):
        return PipelineNotReady(f"the server at {url} is not ready ({said}); try again shortly")
    if not _TRANSPORT.search(details):
        return _overloaded(url, said)
    for pattern, reason in _REASONS:
        if re.search(pattern, details, re.IGNORECASE):
            return _unreachable(url, reason)
    return _unreachable(url, said)


def _unreachable(url: str, reason: str) -> ServerUnreachable:
    return ServerUnreachable(
        f"cannot reach a Triton server at {url}: {reason};"
        " start one with 'framewire serve', or give its gRPC address (url, --url)"
    )


def _overloaded(url: str, said: str) -> ServerOverloaded:
    return ServerOverloaded(
        f"the server at {url} is overloaded and refused the request ({said});"
        " keep fewer requests in flight, or serve more instances"
    )


def _refused(request: Any, said: str) -> RequestRefused:
    """Tell apart whom an INVALID_ARGUMENT blames: the image, a parameter, or neither."""
    lowered = said.lower()
    for status, sentence in STATUS_SENTENCES.items():
        if status not in READ_STATUSES and sentence.lower() in lowered:
            return BadImage(said, status)
    named = set(re.findall(r"[a-z_]+", lowered))
    parameters = set(REQUEST_PARAMETERS + OPTIONAL_PARAMETERS)
    if named & parameters and parameters & set(request.parameters):
        return InvalidRequestParameter(said)
    return RequestRefused(f"the server refused the request: {said}")
