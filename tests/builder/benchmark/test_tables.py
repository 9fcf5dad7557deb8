from __future__ import annotations

from builder.benchmark.load import Load, Measurement
from builder.benchmark.pipeline_sweep import PipelineSweep
from builder.benchmark.server_work import ModelWork
from builder.benchmark.serving import Profile
from builder.benchmark.sweep import Sweep
from builder.benchmark.tables import steps_table, sweep_table

MEASURED = Measurement(*[1.0] * 12)


def work(model: str, total_ms: float, held_ms: float = 0.0) -> ModelWork:
    return ModelWork(model, 10, 5, 10, 0, total_ms, 1.0, 0.1, 0.2, 0.3, ((2, 5),), held_ms)


def table_of(load: Load, *models: ModelWork) -> dict[str, dict[str, str]]:
    profile = Profile(load, MEASURED, models, {"tritonserver": 0.5, "p_network": 2.0})
    table = steps_table("t", profile)
    return {row[0]: dict(zip(table.head, row, strict=True)) for row in table.rows}


def test_every_model_has_its_row_and_its_time() -> None:
    rows = table_of(
        Load("p"),
        work("p", 20.0),
        work("p_network", 7.0),
        work("p_postprocess", 2.0),
        work("p_preprocess", 11.0, held_ms=6.0),
    )
    assert rows["p_network"] == {
        "model": "p_network",
        "images": "10",
        "batch": "2.0",
        "request": "7.00",
        "queue": "1.00",
        "input": "0.10",
        "held": "0.00",
        "infer": "0.20",
        "output": "0.30",
        "CPU/image": "2.00",
        "batches": "2:5",
    }
    assert rows["p_preprocess"]["held"] == "6.00"
    assert rows["tritonserver"]["CPU/image"] == "0.50"
    assert set(rows) == {"p", "p_network", "p_postprocess", "p_preprocess", "tritonserver"}


def test_what_was_held_back_is_no_computing_in_the_sweeps_table() -> None:
    models = (work("p", 20.0), work("p_preprocess", 11.0, held_ms=0.4))
    profile = Profile(Load("p"), MEASURED, models, {})
    table = sweep_table(PipelineSweep("p", Sweep((), (), (), ()), (profile,), 100.0))
    (row,) = (dict(zip(table.head, cells, strict=True)) for cells in table.rows)
    assert row["held"] == "0.40"
    assert float(row["compute"]) == MEASURED.compute_ms - 0.4


def test_where_processes_cannot_be_seen_nothing_is_said_of_their_cpu_time() -> None:
    profile = Profile(Load("p"), MEASURED, (work("p", 20.0),), {})
    table = steps_table("t", profile)
    ((model, *cells),) = table.rows
    assert (model, dict(zip(table.head[1:], cells, strict=True))["CPU/image"]) == ("p", "-")
