from __future__ import annotations

from dataclasses import replace

import pytest

from thin_client.contract import Codec
from thin_client.streaming.jpeg_sizes import JpegSizes
from thin_client.streaming.link import FAST_BITS_PER_S, Link, round_trip_s, sustained_bits_per_s
from thin_client.streaming.orientation import Orientation
from thin_client.streaming.plan import Plan, choose, fitted, follow, sentence
from thin_client.streaming.wishes import Source, Wishes, wishes_from

MBIT = 1e6
CAMERA = Source(1920, 1080, 30.0, Codec.H264, 3 * MBIT)
RAW = Source(1920, 1080, 30.0)
LINK = Link(0.012, 4 * MBIT)


def plan(source: Source, wishes: Wishes, mbit: float, jpegs: JpegSizes | None = None) -> Plan:
    return choose(source, wishes, mbit * MBIT, jpegs or JpegSizes())


def test_packets_that_fit_pass_as_they_are() -> None:
    chosen = plan(CAMERA, Wishes(), 4)
    assert chosen.passing
    assert chosen.codec is Codec.H264
    assert (chosen.width, chosen.height, chosen.fps) == (1920, 1080, 30.0)


def test_packets_that_do_not_fit_are_encoded_anew_within_the_link() -> None:
    chosen = plan(CAMERA, Wishes(), 2)
    assert not chosen.passing
    assert chosen.bits_per_s <= 2 * MBIT
    assert chosen.fps == 30.0


def test_packets_that_do_not_fit_pass_where_every_frame_counts() -> None:
    assert plan(CAMERA, Wishes(reencode=False), 0.5).passing


@pytest.mark.parametrize(
    "wishes",
    [Wishes(max_side=640), Wishes(fps=10), Wishes(codec=Codec.H265), Wishes(codec=Codec.MJPEG)],
)
def test_packets_do_not_pass_where_something_else_was_asked_for(wishes: Wishes) -> None:
    assert not plan(CAMERA, wishes, 100).passing


def test_packets_do_not_pass_to_a_pipeline_that_takes_only_images() -> None:
    chosen = plan(CAMERA, Wishes(streams=False), 100)
    assert not chosen.passing
    assert chosen.codec is Codec.MJPEG


def test_motion_jpeg_passes_as_images() -> None:
    camera = Source(1280, 720, 30.0, Codec.MJPEG, 20 * MBIT)
    assert plan(camera, Wishes(streams=False), 100).passing
    assert not plan(camera, Wishes(streams=False), 10).passing
    assert not plan(camera, Wishes(streams=False, quality=50), 100).passing


@pytest.mark.parametrize("mbit", [0.3, 1, 2, 4, 20, 100])
@pytest.mark.parametrize("codec", [Codec.H264, Codec.MJPEG])
def test_what_is_chosen_fits_the_link(mbit: float, codec: Codec) -> None:
    chosen = plan(RAW, Wishes(codec=codec), mbit)
    assert chosen.bits_per_s <= 0.85 * mbit * MBIT
    assert chosen.width % 2 == 0
    assert chosen.height % 2 == 0


def test_more_of_a_link_never_gives_less() -> None:
    for codec in (Codec.H264, Codec.MJPEG):
        chosen = [plan(RAW, Wishes(codec=codec), mbit) for mbit in (1, 2, 4, 8, 16, 32, 64, 128)]
        rates = [each.bits_per_s for each in chosen]
        assert rates == sorted(rates)
        assert [each.fps for each in chosen] == sorted(each.fps for each in chosen)


def test_a_slow_link_gets_smaller_frames_before_fewer() -> None:
    chosen = plan(RAW, Wishes(codec=Codec.H264), 0.9)
    assert chosen.width < 1920
    assert chosen.fps == 30.0
    slower = plan(RAW, Wishes(codec=Codec.MJPEG), 2)
    assert slower.width == 640
    assert slower.fps < 30.0


def test_frames_are_never_smaller_than_the_network_needs_nor_larger_than_asked_for() -> None:
    assert plan(RAW, Wishes(codec=Codec.MJPEG, input_side=960), 1).width == 960
    assert plan(RAW, Wishes(codec=Codec.MJPEG, max_side=1280), 100).width == 1280
    assert plan(RAW, Wishes(codec=Codec.MJPEG, max_side=320), 100).width == 320


def test_a_slow_link_gets_every_second_frame_or_third() -> None:
    chosen = plan(RAW, Wishes(codec=Codec.MJPEG), 2)
    assert 30.0 / chosen.fps == pytest.approx(round(30.0 / chosen.fps))
    assert chosen.fps < 30.0
    wanted = plan(RAW, Wishes(codec=Codec.MJPEG, fps=25), 2)
    assert 25.0 / wanted.fps == pytest.approx(round(25.0 / wanted.fps))


@pytest.mark.parametrize(("fps", "sent"), [(25, 25), (10, 10), (12.5, 12.5), (30, 30), (60, 30)])
def test_a_frame_rate_that_was_asked_for_is_what_is_sent_and_never_exceeded(
    fps: float, sent: float
) -> None:
    assert plan(RAW, Wishes(fps=fps), 100).fps == sent


@pytest.mark.parametrize(("fps", "passes"), [(30, True), (29.97, True), (25, False), (60, True)])
def test_packets_pass_unless_there_are_more_than_are_wanted(fps: float, passes: bool) -> None:
    assert plan(CAMERA, Wishes(fps=fps), 100).passing is passes


def test_no_frames_are_left_out_where_every_frame_counts() -> None:
    assert plan(RAW, Wishes(codec=Codec.MJPEG, fewer_frames=False), 0.1).fps == 30.0


def test_packets_that_lie_pass_only_to_a_pipeline_that_turns_them() -> None:
    phone = replace(CAMERA, width=1080, height=1920, orientation=Orientation(90))
    passing, encoded = plan(phone, Wishes(), 100), plan(phone, Wishes(turns=False), 100)
    assert (passing.passing, encoded.passing) == (True, False)
    assert {(each.width, each.height) for each in (passing, encoded)} == {(1080, 1920)}
    assert "(turned upright by the server: by 90 degrees)" in sentence(passing, phone, LINK)
    mirrored = replace(phone, orientation=Orientation(270, mirror=True))
    assert "by 270 degrees, mirrored)" in sentence(passing, mirrored, LINK)
    assert "turned" not in sentence(encoded, phone, LINK)


def test_a_quality_that_was_asked_for_is_kept() -> None:
    assert plan(RAW, Wishes(codec=Codec.MJPEG, quality=93), 1).quality == 93


def test_sizes_of_jpegs_are_learnt() -> None:
    jpegs = JpegSizes()
    for _ in range(50):
        jpegs.learn(1920, 1080, 80, 400_000)
    assert jpegs.predict(1920, 1080, 80) == pytest.approx(400_000, rel=0.01)
    assert jpegs.predict(1920, 1080, 50) < 300_000
    assert plan(RAW, Wishes(codec=Codec.MJPEG), 40, jpegs).bits_per_s <= 40 * MBIT


def test_an_encoder_is_not_begun_anew_for_a_small_change() -> None:
    wishes = Wishes(codec=Codec.H264)
    now = plan(RAW, wishes, 2)
    assert fitted(now, plan(RAW, wishes, 2.1)) is now
    assert fitted(now, plan(RAW, wishes, 1.5)).bits_per_s < now.bits_per_s


def test_a_plan_is_held_while_the_link_swings_a_little() -> None:
    jpegs = JpegSizes()
    for codec in (Codec.H264, Codec.MJPEG):
        wishes = Wishes(codec=codec)
        for start in (1.0, 1.7, 3.0, 5.0, 9.0):
            now = plan(RAW, wishes, start, jpegs)
            lower = follow(now, RAW, wishes, 0.97 * start * MBIT, jpegs)
            again = [follow(lower, RAW, wishes, s * start * MBIT, jpegs) for s in (1.0, 1.05, 0.98)]
            assert {(each.width, each.fps, each.quality) for each in again} == {
                (lower.width, lower.fps, lower.quality)
            }


def test_a_plan_follows_a_link_that_changes() -> None:
    jpegs, wishes = JpegSizes(), Wishes(codec=Codec.MJPEG)
    now = plan(RAW, wishes, 8, jpegs)
    assert follow(now, RAW, wishes, 2 * MBIT, jpegs).bits_per_s <= 2 * MBIT
    assert follow(now, RAW, wishes, 80 * MBIT, jpegs).bits_per_s > 2 * now.bits_per_s


def test_the_sentence_names_what_was_measured_and_what_is_sent() -> None:
    words = sentence(plan(RAW, Wishes(codec=Codec.MJPEG), 4), RAW, LINK)
    assert "link 4.0 Mbit/s, round trip 12.0 ms" in words
    assert "JPEG of quality" in words
    assert "of 1920x1080" in words
    assert "\n" not in words
    assert "passes through as it is" in sentence(plan(CAMERA, Wishes(), 100), CAMERA, LINK)


@pytest.mark.parametrize(
    ("codec", "options"),
    [("mpeg2", {}), ("auto", {"quality": 0}), ("auto", {"max_side": 1}), ("auto", {"fps": 0.0})],
)
def test_wishes_that_mean_nothing_are_refused(codec: str, options: dict[str, float]) -> None:
    none = {"quality": None, "max_side": None, "fps": None, "streams": True, "turns": True}
    with pytest.raises(ValueError, match="expected"):
        wishes_from(codec, input_side=640, **{**none, **options})


def test_who_names_a_quality_wants_jpegs() -> None:
    wishes = wishes_from(
        "auto", quality=70, max_side=None, fps=None, streams=True, turns=True, input_side=640
    )
    assert wishes.codec is Codec.MJPEG


def test_the_rate_of_a_link_is_that_after_its_first_burst() -> None:
    # 64 KB at once out of a token bucket, then 4 Mbit/s.
    burst = [(0.01, 8192)] * 8
    rest = [(0.01 + n * 8192 * 8 / 4e6, 8192) for n in range(1, 30)]
    assert sustained_bits_per_s(0.0, burst + rest) == pytest.approx(4e6, rel=0.02)


def test_a_few_answers_are_counted_from_the_beginning() -> None:
    assert sustained_bits_per_s(10.0, [(12.0, 8192)]) == pytest.approx(8 * 8192 / 2)
    assert sustained_bits_per_s(10.0, []) == FAST_BITS_PER_S


def test_the_round_trip_is_the_shortest() -> None:
    assert round_trip_s([0.05, 0.011, 0.3]) == 0.011
