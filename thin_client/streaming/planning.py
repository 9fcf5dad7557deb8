"""The plan of a stream while it runs: what is sent, and when that changes."""

from __future__ import annotations

from dataclasses import replace

from thin_client.streaming.jpeg_sizes import JpegSizes
from thin_client.streaming.link import Link
from thin_client.streaming.plan import choose, follow
from thin_client.streaming.wishes import Source, Wishes

__all__ = ["Planning"]

_UP_AFTER_S = 5.0  # a plan is held at least so long before a richer one
# After units were flushed, the source's packets are not tried again for so long.
_NO_PASSING_S = 30.0


class Planning:
    """Follows the link; told the time, as it has no clock.

    Args:
        about: what the source gives.
        wishes: what a person asked for.
        link: as it was measured.
        now: monotonic seconds.
        looks_spared: whether the server looks at as many frames as it can and answers all packets.
            Then packets that come late are the link's fault only, and nothing but a link that
            cannot carry them is a reason to encode them anew: a server that is busy is not helped
            by it, and the edge device would pay for it.

    Attributes:
        plan: what is sent.
        jpegs: how large JPEGs come out.
    """

    def __init__(
        self, about: Source, wishes: Wishes, link: Link, now: float, *, looks_spared: bool
    ) -> None:
        self._wishes = wishes
        self._looks_spared = looks_spared
        self._no_passing_until = 0.0
        self._planned = now
        self.jpegs = JpegSizes()
        self.plan = choose(about, wishes, link.bits_per_s, self.jpegs)

    def follow(
        self, now: float, about: Source, bits_per_s: float, *, flushed: bool, link_is_late: bool
    ) -> bool:
        """Look at the link; return whether the plan has become another.

        Args:
            now: monotonic seconds.
            about: what the source gives by now.
            bits_per_s: what the link carries by now.
            flushed: whether packets were dropped since the last look, because they had waited.
            link_is_late: whether the link itself was late lately.
        """
        if flushed and self.plan.passing and (link_is_late or not self._looks_spared):
            self._no_passing_until = now + _NO_PASSING_S
        wishes = self._wishes
        if now < self._no_passing_until:
            about = replace(about, codec=None)
        elif self._looks_spared and self.plan.passing:
            wishes = replace(wishes, reencode=False)
        plan = follow(self.plan, about, wishes, bits_per_s, self.jpegs)
        goes_up = plan.bits_per_s > self.plan.bits_per_s
        if plan == self.plan or (goes_up and now - self._planned < _UP_AFTER_S):
            return False
        self._planned = now
        self.plan = plan
        return True

    def learn(self, size: int) -> None:
        """Take the size of a JPEG that was encoded for the plan, bytes."""
        plan = self.plan
        if plan.quality is not None:
            self.jpegs.learn(plan.width, plan.height, plan.quality, size)
