"""What requests did while the server was watched: batches, queues, failures.

All of it is from Triton's statistics, which count what was done and how long it waited. Where no
requests came nothing can be said.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from builder.benchmark.server_work import ModelWork, Statistics
from builder.doctor.case import Case
from builder.doctor.finding import CannotLook, Finding, Seen, hint, warning
from builder.doctor.server import RunningTriton
from builder.doctor.watching import Watched
from thin_client.contract import ModelNames, model_names

# Fewer requests are no load.
FEWEST_REQUESTS = 10
# A part of its time that a request spends waiting for one step, and at least so long.
WAITING_SHARE, WAITING_MS = 1 / 3, 5.0
# Requests that wait at any time, on average (rate times wait: Little's law). With fewer each waits
# only for the one before it, as those of two clients do.
WAITING = 1.0
# Requests in a batch, on average, below which none form.
FORMING = 1.1
# Of the frames with the network, how many requests that ended must account for: those of a queue
# that grows ended sooner than the ones that are in it now will.
AGREEING_SHARE = 0.25
# Failures of so many requests are more than a bad image now and then.
FAILING_SHARE = 0.05


def look_at_batches(case: Case) -> Seen | None:
    """Look whether requests that wait are taken together."""
    running, watched = _under_load(case)
    if running is None:
        return None
    findings, sizes = list[Finding](), list[str]()
    for name in running.pipelines:
        names = model_names(name)
        for model in (names.preprocess, names.network, names.bls):
            work = watched.work.get(model)
            if work is None or work.requests < FEWEST_REQUESTS or not work.executions:
                continue
            sizes.append(f"{model} takes {work.requests / work.executions:.1f} requests at once")
            findings += _no_batches(running, name, model, work, watched.seconds)
    if not sizes:
        raise CannotLook(_idle(watched))
    return Seen("; ".join(sizes), tuple(findings))


def _no_batches(
    running: RunningTriton, name: str, model: str, work: ModelWork, seconds: float
) -> Iterator[Finding]:
    config = running.config(model)
    if config is None:
        return
    waits = work.queue_ms >= max(WAITING_MS, WAITING_SHARE * work.total_ms)
    room = work.images / work.requests <= max(1, config.max_batch_size / 2)
    # One that waits has nobody to be taken together with.
    if _waiting(work, seconds) < WAITING:
        return
    if not waits or not room or work.requests / work.executions >= FORMING:
        return
    if config.max_batch_size <= 1:
        why = "its config allows batches of 1 only"
        mend = "export the detector with a batch that is open (`dynamic=True`) and "
    elif not config.HasField("dynamic_batching"):
        why, mend = "its config has no dynamic_batching", ""
    else:
        why, mend = "its config allows them", "`framewire check` says whether it is damaged, or "
    yield warning(
        "no-batches",
        f"{work.requests} requests waited {work.queue_ms:.0f} ms each for {model}, and it took "
        f"them one by one ({work.executions} batches): {why}",
        f"{mend}`framewire build MODEL --name {name} --replace`",
    )


def _waiting(work: ModelWork, seconds: float) -> float:
    """Return how many requests waited for a model at any time, on average."""
    return work.requests * work.queue_ms / 1e3 / seconds


def look_at_queues(case: Case) -> Seen | None:
    """Look for the step that requests wait for."""
    running, watched = _under_load(case)
    if running is None:
        return None
    findings, words = list[Finding](), list[str]()
    for name in running.pipelines:
        names = model_names(name)
        for model in (names.ensemble, names.bls):
            whole = watched.work.get(model)
            if whole is None or whole.requests < FEWEST_REQUESTS:
                continue
            rate = whole.images / watched.seconds
            words.append(f"{model} answers {rate:.0f} images a second in {whole.total_ms:.0f} ms")
            findings += _bottleneck(running, names, whole, watched, rate)
    if not words:
        raise CannotLook(_idle(watched))
    return Seen("; ".join(words), tuple(findings))


def _bottleneck(
    running: RunningTriton,
    names: ModelNames,
    whole: ModelWork,
    watched: Watched,
    rate: float,
) -> Iterator[Finding]:
    held = f"which holds all to {rate:.0f} images a second"
    crowd = _crowd(running, names, watched) if whole.model == names.ensemble else None
    if crowd is not None:
        yield warning(
            "bottleneck",
            f"about {crowd:.0f} images of {whole.model} were with {names.network} at any time, "
            f"{held}: requests took {whole.total_ms:.0f} ms",
            _relief(running, names, names.network),
        )
        return
    steps = (
        (names.preprocess, names.network, names.postprocess)
        if whole.model == names.ensemble
        else (names.bls, names.network)
    )
    waits = {step: watched.work[step].queue_ms for step in steps if step in watched.work}
    if not waits:
        return
    slowest = max(waits, key=lambda step: waits[step])
    if _waiting(watched.work[slowest], watched.seconds) < WAITING:
        return
    if waits[slowest] < max(WAITING_MS, WAITING_SHARE * whole.total_ms):
        return
    yield warning(
        "bottleneck",
        f"requests to {whole.model} spend {waits[slowest]:.0f} of their {whole.total_ms:.0f} ms "
        f"waiting for {slowest}, {held}",
        _relief(running, names, slowest),
    )


def _relief(running: RunningTriton, names: ModelNames, step: str) -> str:
    name = names.ensemble
    if step == names.network:
        config = running.config(step)
        if config is not None and config.backend == "python":
            return (
                f"a GPU (`framewire build MODEL --name {name} --runtime tensorrt`), a smaller "
                "`--size`, or one server more (docs/scaling.md)"
            )
        return (
            f"`framewire build MODEL --name {name} --precision fp16`, a smaller `--size`, or one "
            "server more (docs/scaling.md)"
        )
    if step == names.postprocess:
        return f"`framewire build MODEL --name {name} --nms graph`, or fewer `--candidates`"
    return (
        f"`framewire tune IMAGES --name {name}` searches --instances and --decode-threads; more "
        "cores, smaller pictures or `--decoder scaled` decode faster (docs/scaling.md)"
    )


def look_at_backlog(case: Case) -> Seen | None:
    """Look whether frames are decoded faster than the network takes them."""
    running, watched = _under_load(case)
    if running is None:
        return None
    findings, words = list[Finding](), list[str]()
    for name in running.pipelines:
        names = model_names(name)
        steps = [
            watched.work[step] for step in (names.preprocess, names.decode) if step in watched.work
        ]
        decoded = sum(step.images for step in steps)
        if decoded < FEWEST_REQUESTS:
            continue
        words.append(f"{decoded} frames of {name} were decoded")
        waited_ms = max(step.queue_ms for step in steps)
        crowd = _crowd(running, names, watched)
        if crowd is not None and waited_ms >= WAITING_MS:
            findings.append(
                warning(
                    "network-behind",
                    f"frames of {name} are decoded faster than the network takes them: about "
                    f"{crowd:.0f} were with it at any time, and the next images waited "
                    f"{waited_ms:.0f} ms to be decoded",
                    "send fewer requests at once (`framewire-client --in-flight`), or relieve the "
                    f"network: {_relief(running, names, names.network)}",
                )
            )
    if not words:
        raise CannotLook(_idle(watched))
    keeps_up = ", and the network keeps up" if not findings else ""
    return Seen("; ".join(words) + keeps_up, tuple(findings))


def _crowd(running: RunningTriton, names: ModelNames, watched: Watched) -> float | None:
    """Return how many frames were with the network on average, or None where it was no crowd.

    Half a batch of them is one: where decoding is what takes long, the network is done with a
    batch long before the next one comes. Triton does not count all of them as waiting, as a network
    in Python takes a batch before it runs it, but it counts what came to the steps before and
    after. Requests that were cancelled in between came to one of them only; so the crowd must also
    agree with how long requests took (Little's law).
    """
    config = running.config(names.network)
    if config is None or not watched.looks:
        return None
    crowd = statistics.mean(_between_steps(names, look) for look in watched.looks)
    if crowd < max(2, config.max_batch_size / 2):
        return None
    ensembles = (watched.work.get(model) for model in (names.ensemble, names.stream))
    images_ms = sum(each.images * each.total_ms for each in ensembles if each)
    agrees = images_ms / 1e3 / watched.seconds >= AGREEING_SHARE * crowd
    return crowd if agrees else None


def _between_steps(names: ModelNames, look: Statistics) -> int:
    """Return the frames that left the steps that decode and did not leave the last one."""
    frames = 0
    for (model, _), each in look.items():
        images, failed = int(each.inference_count), int(each.inference_stats.fail.count)
        if model in {names.preprocess, names.decode}:
            frames += images
        elif model == names.network:
            frames -= failed
        elif model in {names.postprocess, names.detect}:
            frames -= images + failed
    return frames


def look_at_failures(case: Case) -> Seen | None:
    """Look for requests that failed or were refused."""
    running, watched = _under_load(case)
    if running is None:
        return None
    findings, words = list[Finding](), list[str]()
    for name in running.pipelines:
        names = model_names(name)
        for model in (names.ensemble, names.bls, names.stream):
            work = watched.work.get(model)
            asked = work.requests + work.failures if work else 0
            # A supervisor's canaries are no traffic.
            if work is None or (asked < FEWEST_REQUESTS and not work.failures):
                continue
            words.append(f"{model} answered {work.requests} of {asked}")
            if work.failures:
                kind = warning if work.failures >= FAILING_SHARE * asked else hint
                findings.append(
                    kind(
                        "requests-failing",
                        f"{work.failures} of {asked} requests to {model} failed or were refused in "
                        f"{watched.seconds:.1f} s",
                        f"`framewire-client image PICTURE --model {name} --url {running.url}` says "
                        "why; the server's log has the others",
                    )
                )
    if not words:
        raise CannotLook(_idle(watched))
    return Seen("; ".join(words), tuple(findings))


def _under_load(case: Case) -> tuple[RunningTriton | None, Watched]:
    watched = case.watched
    if case.running is not None and watched.unseen:
        raise CannotLook(watched.unseen)
    return case.running, watched


def _idle(watched: Watched) -> str:
    return (
        f"fewer than {FEWEST_REQUESTS} requests came in {watched.seconds:.1f} s: run this while "
        "cameras send, or longer with --watch-seconds"
    )
