"""The files in captured/ were written by perf_analyzer 2.50 against the demo pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.benchmark.perf_csv import read_measurements
from builder.errors import BenchmarkError

CAPTURED = Path(__file__).parent / "captured"


def test_every_column_becomes_its_field_in_milliseconds() -> None:
    (measured,) = read_measurements(CAPTURED / "concurrency_8.csv")
    assert measured.images_per_s == 185.678
    assert measured.client_send_ms == 0.060
    assert measured.network_ms == 32.990
    assert measured.queue_ms == 0.002
    assert measured.compute_input_ms == 0.301
    assert measured.compute_infer_ms == 8.070
    assert measured.compute_output_ms == 1.249
    assert measured.client_receive_ms == 0.004
    assert (measured.p50_ms, measured.p90_ms) == (41.123, 49.365)
    assert (measured.p95_ms, measured.p99_ms) == (54.267, 107.606)


def test_client_and_compute_are_the_sums_of_their_parts() -> None:
    (measured,) = read_measurements(CAPTURED / "concurrency_8.csv")
    assert measured.client_ms == pytest.approx(0.064)
    assert measured.compute_ms == pytest.approx(9.620)


@pytest.mark.parametrize(
    ("file", "images_per_s", "p99_ms"),
    [
        ("concurrency_2_p95.csv", 20.2317, 151.967),
        ("request_rate_5.csv", 4.70601, 64.963),
        ("batch_4_shared_memory.csv", 15.8803, 248.154),
    ],
)
def test_tables_of_other_loads_are_read_alike(
    file: str, images_per_s: float, p99_ms: float
) -> None:
    (measured,) = read_measurements(CAPTURED / file)
    assert (measured.images_per_s, measured.p99_ms) == (images_per_s, p99_ms)


def test_a_table_without_the_verbose_columns_is_refused_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "plain.csv"
    file.write_text("Concurrency,Inferences/Second,Client Send\n1,20.5,30\n")
    with pytest.raises(BenchmarkError, match=r"plain\.csv is not what perf_analyzer writes with"):
        read_measurements(file)


def test_a_table_that_is_not_there_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"none\.csv"):
        read_measurements(tmp_path / "none.csv")
