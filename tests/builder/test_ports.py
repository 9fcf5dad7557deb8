"""Ports that servers of our own are started on."""

from __future__ import annotations

import socket

import pytest

from builder.errors import PortTakenError
from builder.serving import ports
from builder.serving.ports import check_free, free_ports


def test_free_ports_are_free_differ_and_are_not_given_twice() -> None:
    first, second = free_ports(4), free_ports(4)
    assert len({*first, *second}) == 8
    check_free("127.0.0.1", {str(port): port for port in (*first, *second)})


def test_no_outgoing_connection_takes_a_free_port_before_it_is_used() -> None:
    """Linux gives them ports from 32768 on, unless it is told otherwise."""
    assert max(free_ports(200)) < 32_768


def test_a_port_that_is_taken_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    two = range(min(free_ports(1)), 65_535)[:2]
    monkeypatch.setattr(ports, "FREE_PORTS", two)
    monkeypatch.setattr(ports, "_given", set())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", two[0]))
        assert free_ports(1) == [two[1]]
        with pytest.raises(PortTakenError, match=r"only 0 are free, and 1 are needed"):
            free_ports(1)
