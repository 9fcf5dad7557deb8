from __future__ import annotations

from builder.benchmark import targets as t
from builder.benchmark.sample import Ratio, Sample
from builder.benchmark.tables import targets_table
from builder.settings import Decoder


def samples(*values: tuple[float, float, float]) -> tuple[Sample, ...]:
    return tuple(Sample(*value) for value in values)


def test_a_line_has_the_form_that_scripts_read() -> None:
    target = t.Target("1a", "", 6.0, False, Ratio(6.3, 5.9, 6.6, 5))
    assert target.line == "target 1a: 6.3 (goal 6.0; 5.9 to 6.6 over 5 rounds)"


def test_a_target_that_was_not_measured_says_why() -> None:
    target = t.Target("2b", "", 2.0, False, None, "ultralytics is not installed")
    assert target.line == "target 2b: not measured (goal 2.0; ultralytics is not installed)"
    assert target.reached is None


def test_a_small_goal_at_most_is_told_with_its_digits() -> None:
    target = t.Target("p2", "", 0.005, True, Ratio(0.00087, 0.00087, 0.00087, 1))
    assert target.line == ("target p2: 0.0009 (goal at most 0.005; 0.0009 to 0.0009 over 1 rounds)")
    (row,) = targets_table([target]).rows
    assert row[1:] == ("at most 0.005", "0.0009", "yes")


def test_precisions_are_compared_in_speed_and_in_what_they_find() -> None:
    rounds = {
        t.FLOAT32: samples((10, 9, 1), (20, 9, 1)),
        t.BFLOAT16: samples((16, 9, 1), (30, 9, 1)),
    }
    p1, p2 = t.precision_targets(rounds, 0.001, "", "")
    assert p1.found == Ratio(1.55, 1.5, 1.6, 2)
    assert (p1.reached, p2.reached) == (True, True)
    (_, unlabelled) = t.precision_targets(rounds, None, "", "no labels")
    assert unlabelled.line == "target p2: not measured (goal at most 0.005; no labels)"
    for target in t.precision_targets(None, None, "no bfloat16", ""):
        assert target.line.endswith("; no bfloat16)")


def test_a_goal_at_most_is_reached_from_below() -> None:
    assert t.Target("5", "", 1.5, True, Ratio(1.4, 1, 2, 3)).reached
    assert not t.Target("5", "", 1.5, True, Ratio(1.6, 1, 2, 3)).reached
    assert t.Target("1a", "", 6.0, False, Ratio(6.0, 1, 2, 3)).reached
    assert not t.Target("1a", "", 6.0, False, Ratio(5.9, 1, 2, 3)).reached


def test_the_stub_rounds_give_throughput_efficiency_and_latency() -> None:
    found = {
        target.number: target
        for target in t.stub_targets(
            {
                "ensemble, scaled": samples((300, 5.0, 9), (300, 5.0, 9), (300, 5.0, 9)),
                "BLS, scaled": samples((400, 6.0, 9), (400, 6.0, 9), (380, 6.0, 9)),
                # What the other decoder comes to is no business of theirs.
                "BLS, exact": samples((900, 1.0, 1), (900, 1.0, 1), (900, 1.0, 1)),
                t.USUAL: samples((80, 24, 9), (100, 24, 9), (80, 24, 9)),
                "decode limit, scaled": samples((500, 4.0, 4), (500, 4.5, 4), (500, 4.0, 4)),
                "ensemble, scaled, 1 in flight": samples((1, 1, 6), (1, 1, 6), (1, 1, 6)),
                "BLS, scaled, 1 in flight": samples((1, 1, 7), (1, 1, 7), (1, 1, 7)),
                "decode limit, scaled, 1 core": samples((1, 1, 4), (1, 1, 5), (1, 1, 4)),
            },
            Decoder.SCALED,
        )
    }
    # The faster of the two by throughput, the cheaper by CPU time, the quicker alone.
    assert found["1a"].found == Ratio(4.75, 4.0, 5.0, 3)
    assert found["1b"].found == Ratio(0.8, 0.8, 0.9, 3)
    assert found["5"].found == Ratio(1.5, 1.2, 1.5, 3)


def test_batching_compares_a_variant_with_itself() -> None:
    (found,) = t.batching_targets(
        {
            t.ENSEMBLE: samples((400, 1, 1)),
            t.BLS: samples((300, 1, 1)),
            t.ENSEMBLE_UNBATCHED: samples((80, 1, 1)),
            t.BLS_UNBATCHED: samples((100, 1, 1)),
        }
    )
    assert found.found is not None
    assert found.found.median == 5.0


def test_without_ultralytics_only_its_part_is_missing() -> None:
    rounds = {
        t.ENSEMBLE: samples((20, 1, 1)),
        t.BLS: samples((19, 1, 1)),
        t.STREAMS: samples((25, 1, 1)),
        t.SHARED: samples((10, 1, 1)),
    }
    with_loop, with_predict = t.network_targets(rounds, "it is not here")
    assert with_loop.found is not None
    assert with_loop.found.median == 0.8
    assert with_predict.line == "target 2b: not measured (goal 2.0; it is not here)"


def test_the_wire_target_is_that_of_the_mean_image() -> None:
    target = t.wire_target([100, 200, 300], 6000, 5)
    assert target.found == Ratio(30, 30, 30, 5)
    assert "20 to 60 by image" in target.meaning


def test_target_6_is_a_number_of_images_and_not_a_ratio() -> None:
    found = t.gpu_target(
        {
            t.ENSEMBLE: samples((1900, 1, 1), (2104.6, 1, 1), (2200, 1, 1)),
            t.BLS: samples((1800, 1, 1), (2300, 1, 1), (1700, 1, 1)),
        }
    )
    assert found.line == "target 6: 2105 (goal 2000; 1900 to 2200 over 3 rounds)"
    assert found.reached
    assert "by ensemble" in found.meaning


def test_without_a_gpu_target_6_has_its_line_too() -> None:
    line = "target 6: not measured (goal 2000; no GPU here)"
    assert t.gpu_target(None, "no GPU here").line == line


PEER_ROUNDS = {
    t.ENSEMBLE: samples((50, 20, 1), (60, 25, 1)),
    t.BLS: samples((40, 20, 1), (40, 20, 1)),
    t.CLIENT_FRAMES: samples((40, 22, 1), (40, 50, 1)),
    t.LITSERVE: samples((25, 90, 1), (20, 100, 1)),
}


def test_target_p5_is_the_faster_of_ours_over_litserve() -> None:
    (found,) = t.peer_targets(PEER_ROUNDS, "")
    assert found.line == "target p5: 2.5 (goal 2.0; 2.0 to 3.0 over 2 rounds)"
    assert "ensemble over ultralytics predict behind LitServe" in found.meaning


def test_without_litserve_target_p5_says_why() -> None:
    rounds = {name: PEER_ROUNDS[name] for name in (t.ENSEMBLE, t.BLS, t.CLIENT_FRAMES)}
    (found,) = t.peer_targets(rounds, "it is not here")
    assert found.line == "target p5: not measured (goal 2.0; it is not here)"


def test_ours_is_set_against_each_of_the_others() -> None:
    client, litserve = t.advantages(PEER_ROUNDS)
    assert client.words == "ensemble over client does the work, uint8 frames"
    assert client.throughput == Ratio(1.375, 1.25, 1.5, 2)
    # More is better of this one too: what theirs takes for an image over what ours takes.
    assert client.cpu == Ratio(1.55, 1.1, 2.0, 2)
    assert litserve.cpu == Ratio(4.25, 4.0, 4.5, 2)
