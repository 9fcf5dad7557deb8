"""A link and a server in numbers: what a sender under LinkControl does on them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from thin_client.streaming.control import LinkControl
from thin_client.streaming.link import Link

STEP_S = 0.002


@dataclass
class Run:
    """What happened, by time in seconds."""

    targets: list[tuple[float, float]] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    dropped: int = 0

    def target_at(self, moment: float) -> float:
        return next(bits for at, bits in reversed(self.targets) if at <= moment)

    def latencies_between(self, first: float, last: float) -> list[float]:
        return [latency for at, latency in self.latencies if first <= at < last]


def simulate(
    bits_per_s: Callable[[float], float],
    *,
    measured: float,
    seconds: float,
    fps: float = 30.0,
    rtt_s: Callable[[float], float] = lambda _: 0.02,
    server_s: Callable[[float], float] = lambda _: 0.01,
    frame_bits: Callable[[float], float] | None = None,
) -> Run:
    """Send frames as large as the control allows through a FIFO link to a server, one by one."""
    control = LinkControl(Link(rtt_s(0.0), measured), 0.0)
    run = Run()
    on_link: deque[tuple[list[float], float | None]] = deque()  # bits left, sent at or None: a ping
    answers: deque[tuple[float, float]] = deque()  # at, sent at
    server_free = 0.0
    next_frame, next_look, next_ping, now = 0.0, 0.0, 0.0, 0.0
    ping_back: float | None = None
    while now < seconds:
        budget = bits_per_s(now) * STEP_S
        while on_link and budget > 0:
            left = on_link[0][0]
            used = min(budget, left[0])
            left[0] -= used
            budget -= used
            if left[0] <= 0:
                _, sent_at = on_link.popleft()
                if sent_at is None:
                    ping_back = now + rtt_s(now)
                    continue
                server_free = max(now, server_free) + server_s(now)
                answers.append((server_free + rtt_s(now), sent_at))
        while answers and answers[0][0] <= now:
            _, sent_at = answers.popleft()
            control.answered(now)
            run.latencies.append((now, now - sent_at))
        if ping_back is not None and now >= ping_back:
            control.ping_answered(now)
            ping_back = None
        if now >= next_ping and not control.ping_is_out:
            next_ping = now + 0.1
            control.pinged(now)
            on_link.append(([800.0], None))
        if now >= next_look:
            next_look += 0.2
            run.targets.append((now, control.update(now)))
        if now >= next_frame:
            next_frame += 1 / fps
            bits = frame_bits(now) if frame_bits else 0.8 * control.bits_per_s / fps
            if control.has_room(round(bits / 8)):
                control.sent(now, round(bits / 8))
                on_link.append(([bits], now))
                run.sent.append(now)
            else:
                run.dropped += 1
        now += STEP_S
    return run
