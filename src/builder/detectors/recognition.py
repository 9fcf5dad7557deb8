"""Which head an ONNX detector has, told from its outputs' shapes, its graph and its metadata."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from builder.detectors.graph_facts import box_operator, dims_of, output_dims
from builder.detectors.head_evidence import Evidence, measured
from builder.detectors.head_layouts import Recognition, less, read_as, read_nms
from builder.detectors.heads import Head, known_layouts
from builder.detectors.metadata import gives_rows
from builder.detectors.other_tasks import other_task
from builder.errors import ModelFileError, UnknownHeadError
from builder.surgery.nms_nodes import UnreadableNmsError

MOST_CLASSES = 10_000
MOST_QUERIES = 1000


def recognise(
    model: onnx.ModelProto,
    *,
    name: str,
    width: int,
    height: int,
    num_labels: int | None,
    head: Head | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Recognition:
    """Tell a detector's head.

    What a graph leaves open, and ONNX's shape inference too, is found out by running it once.

    Args:
        model: the detector.
        name: of its file, for the refusal.
        width: of its input, in pixels.
        height: of its input, in pixels.
        num_labels: how many classes have names, where known; decides between layouts that differ
            in nothing else.
        head: what the caller knows better; then only the sizes are read.
        metadata: of the file.

    Raises:
        ModelFileError: the graph is one for another task.
        UnknownHeadError: the layout is none of the known ones, or not that of ``head``, or may be
            that of several.
    """
    if not model.graph.output:
        raise UnknownHeadError(f"{name} has no outputs: export it again")
    evidence = Evidence(
        model,
        width,
        height,
        output_dims(model, width, height),
        num_labels,
        gives_rows(metadata or {}),
    )
    try:
        found = _by_shape(evidence, name) if head is None else read_as(evidence, head)
    except UnreadableNmsError as error:
        raise UnknownHeadError(
            f"{name} ends in an NMS that Framewire cannot read ({error}): export it without NMS"
        ) from error
    if found is None or not _sizes_are_sane(found):
        told = "" if head is None else f" with --head {head.value}"
        raise UnknownHeadError(
            f"{name} has outputs {show_outputs(model)}, which is no layout Framewire knows{told} "
            f"({known_layouts()}): export a detector of one of these, or name its --head"
        )
    return found


def show_outputs(model: onnx.ModelProto) -> str:
    """Return names and shapes of the outputs for people."""
    shapes = (
        f"{value.name} [{', '.join('?' if size is None else str(size) for size in dims_of(value))}]"
        for value in model.graph.output
    )
    return ", ".join(shapes)


def _sizes_are_sane(found: Recognition) -> bool:
    return (found.classes is None or 0 < found.classes <= MOST_CLASSES) and (
        found.boxes is None or 0 < found.boxes < 2**31
    )


def _by_shape(evidence: Evidence, name: str) -> Recognition | None:
    nms = read_nms(evidence)
    if nms is not None:
        return nms
    evidence = measured(evidence)
    task = other_task(evidence.model, evidence.outputs, picks_rows=evidence.picks_rows)
    if task is not None:
        raise ModelFileError(
            f"{name} looks like a model for the task {task[0]!r} ({task[1]}); Framewire serves "
            "detectors: export one trained with task 'detect', or, if it is one, name its --head"
        )
    if len(evidence.outputs[0]) != 3:
        return None
    possible = _possible_heads(evidence)
    if len(possible) > 1:
        raise UnknownHeadError(
            f"{name} has outputs {show_outputs(evidence.model)}, which may be of the head "
            f"{' or '.join(head.value for head in possible)}: say which with --head "
            f"({known_layouts()})"
        )
    return read_as(evidence, possible[0]) if possible else None


def _possible_heads(evidence: Evidence) -> list[Head]:
    """Return the heads that the first output, ``[N, rows, columns]``, can be of."""
    _, rows, columns = evidence.outputs[0]
    operator, picked = box_operator(evidence.model), evidence.picks_rows
    few_rows = rows is None or rows <= MOST_QUERIES
    if few_rows and operator == "Sigmoid" and columns is not None:
        return [Head.RTDETR]
    if picked and columns is None and not evidence.says_rows:
        return [Head.END2END, Head.RTDETR]  # or something else, if nothing here can run it
    if picked:
        return [Head.END2END] if columns in {6, None} else []
    possible = []
    if columns is None or evidence.anchors(columns) or (rows is not None and columns > rows):
        possible.append(Head.YOLOV8)
    if columns is None or (columns > 5 and (rows is None or evidence.anchors(rows))):
        possible.append(Head.YOLOX if operator == "Conv" else Head.YOLOV5)
    if columns == 6 and few_rows and not evidence.anchors(rows):
        # Nothing shows whether they are corners, score, class or shares and scores of two classes.
        possible += [Head.END2END, Head.RTDETR]
    return _with_named_classes(evidence, possible)


def _with_named_classes(evidence: Evidence, possible: list[Head]) -> list[Head]:
    """Of several heads return those that have as many classes as there are names, if any has."""
    _, rows, columns = evidence.outputs[0]
    sizes = {
        Head.YOLOV8: less(rows, 4, None),
        Head.YOLOV5: less(columns, 5, None),
        Head.YOLOX: less(columns, 5, None),
    }
    named = [
        head
        for head in possible
        if evidence.num_labels is not None and sizes.get(head) == evidence.num_labels
    ]
    return named if len(possible) > 1 and named else possible
