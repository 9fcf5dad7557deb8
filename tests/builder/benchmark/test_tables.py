from __future__ import annotations

from builder.benchmark import targets as t
from builder.benchmark.comparison import Match
from builder.benchmark.load import Load, Measurement
from builder.benchmark.pipeline_sweep import PipelineSweep
from builder.benchmark.report import Results, html_report, result_lines
from builder.benchmark.sample import Sample
from builder.benchmark.server_work import ModelWork
from builder.benchmark.serving import Profile
from builder.benchmark.sweep import Sweep
from builder.benchmark.tables import advantages_table, steps_table, sweep_table

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


def test_what_ours_has_over_each_of_the_others_is_a_table() -> None:
    rounds = {
        t.ENSEMBLE: (Sample(30, 20, 1), Sample(33, 20, 1)),
        t.BLS: (Sample(20, 20, 1), Sample(20, 20, 1)),
        t.LITSERVE: (Sample(10, 90, 1), Sample(15, 70, 1)),
    }
    match = Match("Peers", rounds, {}, (), advantages=t.advantages(rounds))
    (found,) = advantages_table(match).rows
    assert found == (f"ensemble over {t.LITSERVE}", "2.60 (2.20 to 3.00)", "4.00 (3.50 to 4.50)")


def test_remarks_and_advantages_of_a_match_are_in_text_and_page() -> None:
    rounds = {name: (Sample(10, 20, 1),) for name in (t.ENSEMBLE, t.BLS, t.CLIENT_FRAMES)}
    match = Match(
        "Peers",
        rounds,
        {},
        t.peer_targets(rounds, "none & nowhere"),
        advantages=t.advantages(rounds),
        remarks=("LitServe: <best>",),
    )
    results = Results("p", {}, "7 JPEGs", (), (match,))
    lines = result_lines(results)
    assert "LitServe: <best>" in lines
    assert lines[-1] == "target p5: not measured (goal 2.0; none & nowhere)"
    assert any(line.startswith(f"  ensemble over {t.CLIENT_FRAMES}") for line in lines)
    page = html_report(results)
    assert "LitServe: &lt;best&gt;" in page
    assert "<h2>Ours over theirs</h2>" in page
