"""What documents say of the code, where no test of their own holds the two together."""

from __future__ import annotations

import re
from importlib.metadata import requires
from pathlib import Path

import pytest

from builder.detectors.heads import Head
from builder.pipelines.pipeline_models import models_of
from builder.settings import BuildSettings
from tests.conftest import ROOT
from thin_client import AsyncDetector, Detector
from thin_client.arguments import parser
from thin_client.contract import (
    OPTIONAL_STATUSES,
    STREAM_STATUSES,
    ImageStatus,
    model_names,
)
from thin_client.redaction import HARMLESS
from thin_client.retry import MOST_LOST_PROCESSES, RetryPolicy
from thin_client.streaming import target

NUMBERS = (
    *("none", "one", "two", "three", "four", "five"),
    *("six", "seven", "eight", "nine", "ten"),
)
DOCUMENTS = [
    *(ROOT.glob("*.md")),
    *(ROOT / "docs").glob("*.md"),
    ROOT / "thin_client" / "README.md",
    ROOT / "model_repository" / "README.md",
]


def flat(name: str) -> str:
    """A document's text without its line breaks."""
    return " ".join((ROOT / name).read_text().split())


def methods(of: type) -> set[str]:
    return {name for name in dir(of) if not name.startswith("_")}


def test_what_a_detector_for_asyncio_lacks_is_said() -> None:
    assert methods(Detector) - methods(AsyncDetector) == {"video_stream", "stream_link"}
    said = "has the same methods for asyncio, but for `video_stream` and `stream_link`"
    assert said in flat("thin_client/README.md")
    assert "But for ``video_stream`` and ``stream_link``" in str(AsyncDetector.__doc__)


def test_every_method_of_a_detector_is_in_its_table() -> None:
    text = (ROOT / "thin_client" / "README.md").read_text()
    for name in methods(Detector) - {"close"}:
        assert re.search(rf"^\| `{name}\(", text, re.MULTILINE), name


def test_tries_are_counted_as_they_are_made() -> None:
    tries, lost = RetryPolicy().attempts, NUMBERS[MOST_LOST_PROCESSES]
    of_command = parser().parse_args(["info"]).retries + 1
    assert f"{NUMBERS[tries]} tries in all" in flat("thin_client/README.md")
    assert f"lost its process is asked again {lost} times at most" in flat("thin_client/README.md")
    assert f"framewire-client repeats {lost} times" in flat("CONTRIBUTING.md")
    assert f"framewire-client does {lost} times" in flat("docs/serving.md")
    security = f"{NUMBERS[tries]} tries in all, {NUMBERS[of_command]} of the command"
    assert security in flat("SECURITY.md")
    assert f"tries {NUMBERS[of_command]} times within about a second" in flat("docs/repository.md")


def test_a_stream_asks_for_its_server_as_often_as_is_said() -> None:
    first, longest = target._FIRST_PAUSE_S, target._LONGEST_PAUSE_S
    said = f"after {first:g} s, and again after pauses that double up to {longest:g} s"
    assert said in flat("docs/streaming.md")


def test_what_of_a_query_is_shown_is_said() -> None:
    assert f"(but {', '.join(f'`{each}`' for each in sorted(HARMLESS))})" in flat(
        "docs/streaming.md"
    )


def test_what_the_images_give_to_start_is_what_they_are_said_to() -> None:
    said = "the images give it `--repository /models --address 0.0.0.0 --restrict`"
    assert said in flat("docs/containers.md")
    for image in ("Dockerfile", "Dockerfile.cpu"):
        (entry,) = re.findall(
            r"^ENTRYPOINT (\[.*?\])$",
            (ROOT / "docker" / image).read_text(),
            re.MULTILINE | re.DOTALL,
        )
        words = re.findall(r'"([^"]+)"', entry)
        of_start = words[words.index("start") + 1 :]
        assert of_start[:2] == ["--repository", "/models"]
        assert " ".join(of_start).endswith(" --address 0.0.0.0 --restrict")


def test_the_models_of_a_pipeline_are_counted() -> None:
    images, video = (len(models_of("x", streams=streams)) for streams in (False, True))
    said = f"They are {NUMBERS[images]}, and {NUMBERS[video]} of a pipeline built with `--stream`"
    assert said in flat("docs/containers.md")
    assert f"A pipeline NAME is {NUMBERS[images]} Triton models" in flat("README.md")
    names = model_names("codes")
    for name in (*names.all, *names.streaming):
        assert f"| `{name}/` |" in flat("model_repository/README.md")


@pytest.mark.parametrize(
    ("document", "begins"),
    [
        ("docs/containers.md", "What is added is "),
        ("model_repository/README.md", "Another Triton needs "),
    ],
)
def test_what_the_served_models_import_is_listed(document: str, begins: str) -> None:
    # As people call them where that is not what they are called on PyPI.
    called = {"av": "PyAV", "opencv-python-headless": "OpenCV"}
    listed = flat(document).split(begins)[1].partition(".")[0].lower()
    served = [each for each in requires("framewire") or () if 'extra == "served"' in each]
    names = [re.split(r"[><=;]", each)[0] for each in served]
    assert "simplejpeg" in names
    for name in names:
        words = {name, called.get(name, name).lower()}
        assert any(re.search(rf"\b{word}\b", listed) for word in words), name


def test_nobody_says_that_every_test_is_run_where_some_are_not() -> None:
    makefile = (ROOT / "Makefile").read_text()
    recipe = makefile[makefile.index("\ntest:") :].split("\n\n")[0]
    assert "not gpu and not containers" in recipe
    lines = [
        next(line for line in text.splitlines() if re.match(r"(# |    )make test  ", line))
        for text in (makefile, (ROOT / "README.md").read_text())
    ]
    assert not [line for line in lines if re.search(r"\b(every|all)\b", line)]


def rows(text: str) -> dict[str, str]:
    """Rows of tables that have the name of a head in them, by head."""
    found = {}
    for head in Head:
        for line in text.splitlines():
            if line.startswith("|") and f"| `{head.value}` |" in line:
                found[head.value] = line
    return found


def test_the_two_tables_of_heads_agree() -> None:
    short, long = (rows((ROOT / name).read_text()) for name in ("README.md", "docs/builder.md"))
    assert short.keys() == long.keys() == {head.value for head in Head}
    for head, line in short.items():
        for name in re.findall(r"YOLO[A-Za-z0-9]+|RT-DETR|[A-Za-z]+NMS\w*|NonMaxSuppression", line):
            assert name.removesuffix("_TRT") in long[head], (head, name)
    # The export that is the default, and the one that is not.
    assert "YOLO26" in short["yolov8"]
    assert re.search(r"YOLO26 exported with `nms=False`", short["end2end"])
    assert re.search(r"YOLO26 without `nms=False`", long["yolov8"])


def test_the_variant_with_a_hop_less_is_not_called_one_process() -> None:
    assert BuildSettings("x").instances > 1
    for document in DOCUMENTS:
        for line in document.read_text().splitlines():
            if "bls" in line.lower() or "variant" in line:
                assert not re.search(r"(in|from) one (Python )?process", line), document


def test_statuses_of_packets_are_those_that_streams_have() -> None:
    row = next(
        line
        for line in (ROOT / "README.md").read_text().splitlines()
        if line.startswith("| `image_status`")
    )
    of_images, of_packets = row.split("of packets of video only ")
    assert {int(each) for each in re.findall(r"\b(\d+)\b(?=[ ,])", of_packets)} == {
        int(ImageStatus.OK),
        *map(int, STREAM_STATUSES + OPTIONAL_STATUSES),
    }
    assert f"{int(STREAM_STATUSES[0])} " not in of_images
    numbers = sorted(map(int, STREAM_STATUSES + OPTIONAL_STATUSES))
    said = f"Answers of streams have 0, {', '.join(map(str, numbers[:-1]))} or {numbers[-1]}, never"
    assert said in flat("docs/protocol.md")


def test_the_largest_image_has_the_size_that_is_said() -> None:
    settings = BuildSettings("x")
    mib, megapixels = settings.max_image_bytes / 2**20, settings.max_image_pixels / 1e6
    assert f"Images over {mib:g} MiB or {megapixels:g} megapixels are refused" in flat("README.md")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_is_not_released_is_said_to_be_had_from_a_clone(document: Path) -> None:
    text = " ".join(document.read_text().split())
    if re.search(r"pip install [\"']?framewire", text):
        assert re.search(r"until it is released,[ #]+from a clone: ", text, re.IGNORECASE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text()):
        path, _, anchor = link.partition("#")
        linked = document.parent / path if path else document
        assert linked.exists(), link
        if anchor:
            assert anchor in anchors(linked), link


def anchors(document: Path) -> set[str]:
    """Names that GitHub gives to the headings of a document."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
