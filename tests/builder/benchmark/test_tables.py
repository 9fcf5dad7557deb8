from __future__ import annotations

from builder.benchmark.load import Load, Measurement
from builder.benchmark.server_work import ModelWork
from builder.benchmark.serving import Profile
from builder.benchmark.tables import steps_table

MEASURED = Measurement(*[1.0] * 12)


def work(model: str, total_ms: float) -> ModelWork:
    return ModelWork(model, 10, 5, 10, 0, total_ms, 1.0, 0.1, 0.2, 0.3, ((2, 5),))


def rows_of(load: Load, *models: ModelWork) -> dict[str, tuple[str, ...]]:
    profile = Profile(load, MEASURED, models, {"tritonserver": 0.5, "p_network": 2.0})
    return {row[0]: row[1:] for row in steps_table("t", profile).rows}


def test_what_the_other_steps_leave_of_the_ensemble_is_preprocess() -> None:
    rows = rows_of(
        Load("p"),
        work("p", 20.0),
        work("p_network", 7.0),
        work("p_postprocess", 2.0),
        work("p_preprocess", 0.5),
    )
    assert rows["preprocess, what the others leave"][2] == "11.00"
    assert rows["p_network"] == (
        *("10", "2.0", "7.00", "1.00", "0.10", "0.20", "0.30", "2.00", "2:5"),
    )
    assert rows["tritonserver"][7] == "0.50"


def test_other_models_have_no_such_row() -> None:
    rows = rows_of(Load("p_bls"), work("p_bls", 20.0), work("p_network", 7.0))
    assert set(rows) == {"p_bls", "p_network", "tritonserver"}


def test_where_processes_cannot_be_seen_nothing_is_said_of_their_cpu_time() -> None:
    profile = Profile(Load("p"), MEASURED, (work("p", 20.0),), {})
    ((model, *cells),) = steps_table("t", profile).rows
    assert (model, cells[7]) == ("p", "-")
