from __future__ import annotations

import xml.etree.ElementTree as ET

from builder.benchmark.svg import Line, line_plot
from builder.benchmark.tables import Table


def test_a_plot_is_well_formed_and_has_a_dot_for_each_point() -> None:
    plot = line_plot("a < b", "load", "images/s", [Line("x & y", [(1, 10), (2, 20), (256, 25)])])
    root = ET.fromstring(plot)  # noqa: S314 - our own output
    dots = root.findall("circle")
    assert [float(dot.get("cy", "")) for dot in dots] == sorted(
        (float(dot.get("cy", "")) for dot in dots), reverse=True
    )
    across = [float(dot.get("cx", "")) for dot in dots]
    # Powers of two: 256 is eight times as far from 1 as 2 is.
    assert abs((across[2] - across[0]) / (across[1] - across[0]) - 8) < 0.05


def test_a_long_line_has_round_ticks_and_no_dots() -> None:
    points = [(second / 60, 100.0) for second in range(3, 1200, 5)]
    root = ET.fromstring(  # noqa: S314 - our own output
        line_plot("Memory", "minutes", "MB", [Line("m", points)], log_x=False)
    )
    assert not root.findall("circle")
    across = [text.text for text in root.findall("text") if text.get("y") == "270.0"]
    assert across == ["2", "4", "6", "8", "10", "12", "14", "16", "18"]


def test_a_table_lines_its_columns_up() -> None:
    table = Table("t", ("", "n"), (("one", "1"), ("twelve", "12.5")))
    assert table.lines() == ["t", "             n", "  one        1", "  twelve  12.5"]
