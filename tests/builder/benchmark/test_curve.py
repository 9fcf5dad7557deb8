from __future__ import annotations

from builder.benchmark.curve import CurvePoint, knee, sweet_spot


def curve(*values: tuple[int, float, float]) -> list[CurvePoint]:
    return [CurvePoint(*value) for value in values]


def saturating(limit: int) -> list[CurvePoint]:
    """Throughput grows with the load up to a limit, latency after it."""
    loads = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    return [CurvePoint(n, 100.0 * min(n, limit), 10.0 * max(n / limit, 1)) for n in loads]


def test_the_knee_is_where_throughput_stops_growing() -> None:
    for limit in (4, 8, 16, 64):
        found = knee(saturating(limit))
        assert found is not None
        assert found.load == limit


def test_the_knee_of_a_smooth_curve_is_where_it_is_as_steep_as_its_chord() -> None:
    # The chord from 0 to 1 rises by 9.09; 1 / (x + 0.1) ** 2 is that at x = 0.23, near 2 ninths.
    xs = [n / 9 for n in range(10)]
    points = [CurvePoint(n, 20 - 1 / (x + 0.1), 1.0) for n, x in enumerate(xs)]
    found = knee(points)
    assert found is not None
    assert found.load == 2


def test_noise_after_the_knee_does_not_move_it() -> None:
    points = saturating(8)
    noisy = [
        CurvePoint(point.load, point.images_per_s * (0.97 if point.load > 8 else 1), 1.0)
        for point in points
    ]
    found = knee(noisy)
    assert found is not None
    assert found.load == 8


def test_throughput_that_collapses_at_the_end_still_had_a_knee() -> None:
    found = knee(curve((1, 100, 1), (2, 200, 1), (4, 400, 1), (8, 400, 1), (16, 80, 9)))
    assert found is not None
    assert found.load == 4


def test_a_flat_curve_has_no_knee() -> None:
    assert knee(curve((1, 100, 10), (2, 101, 20), (4, 99, 40), (8, 102, 80))) is None


def test_a_curve_that_still_grows_with_the_load_has_no_knee() -> None:
    assert knee(curve((1, 10, 1), (2, 20, 1), (4, 40, 1), (8, 80, 1))) is None


def test_two_points_have_no_knee() -> None:
    assert knee(curve((1, 10, 1), (2, 30, 1))) is None


def test_the_sweet_spot_is_the_largest_load_within_the_bound() -> None:
    found = sweet_spot(saturating(8), 40)
    assert found is not None
    assert found.load == 32


def test_no_load_within_the_bound_is_no_sweet_spot() -> None:
    assert sweet_spot(saturating(8), 9) is None
