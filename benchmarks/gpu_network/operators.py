"""ONNX operators in torch: those of the usual networks, as the builder writes them.

Each takes its inputs, the same inputs as lists where they are small constants, and its attributes.
What an operator may say and these networks do not is left out, and refused where it would change
the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
import torch
from torch import Tensor
from torch.nn import functional

Inputs = Sequence[Any]
Known = Sequence[Any]
Attributes = Mapping[str, Any]
Operator = Callable[[Inputs, Known, Attributes], Any]

DTYPES = {
    onnx.TensorProto.FLOAT: torch.float32,
    onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.INT32: torch.int32,
    onnx.TensorProto.INT64: torch.int64,
}


def _convolution(inputs: Inputs, _: Known, attributes: Attributes) -> Tensor:
    image, weight, bias = inputs if len(inputs) == 3 else (*inputs, None)
    image, padding = _padded(image, attributes["pads"], 0.0)
    return functional.conv2d(
        image,
        weight,
        bias,
        attributes["strides"],
        padding,
        attributes["dilations"],
        attributes["group"],
    )


def _max_pool(inputs: Inputs, _: Known, attributes: Attributes) -> Tensor:
    _refuse(attributes.get("ceil_mode", 0), "MaxPool that rounds its size up")
    image, padding = _padded(inputs[0], attributes["pads"], float("-inf"))
    return functional.max_pool2d(image, attributes["kernel_shape"], attributes["strides"], padding)


def _average_pool(inputs: Inputs, _: Known, attributes: Attributes) -> Tensor:
    _refuse(any(attributes.get("pads", ())), "AveragePool that pads")
    _refuse(attributes.get("ceil_mode", 0), "AveragePool that rounds its size up")
    return functional.avg_pool2d(inputs[0], attributes["kernel_shape"], attributes["strides"])


def _padded(image: Tensor, pads: Sequence[int], value: float) -> tuple[Tensor, tuple[int, int]]:
    top, left, bottom, right = pads
    if (top, left) == (bottom, right):
        return image, (top, left)
    return functional.pad(image, (left, right, top, bottom), value=value), (0, 0)


def _reshape(inputs: Inputs, known: Known, attributes: Attributes) -> Tensor:
    data: Tensor = inputs[0]
    keeps = not attributes.get("allowzero", 0)
    sizes = [data.shape[at] if size == 0 and keeps else size for at, size in enumerate(known[1])]
    return data.reshape(sizes)


def _resize(inputs: Inputs, known: Known, attributes: Attributes) -> Tensor:
    _refuse(attributes["mode"] != b"nearest", "Resize that interpolates")
    scales = known[2] or []
    _refuse(scales[:2] != [1, 1] or any(scale % 1 for scale in scales), "Resize but by whole times")
    # Whole times: every pixel becomes a block, whatever the other attributes say.
    return functional.interpolate(inputs[0], scale_factor=scales[2:], mode="nearest")


def _slice(inputs: Inputs, known: Known, _: Attributes) -> Tensor:
    starts, ends, axes, steps = (*known[1:], None)[:4]
    data: Tensor = inputs[0]
    for number, axis in enumerate(axes):
        _refuse(steps is not None and steps[number] < 1, "Slice that goes backwards")
        places = [slice(None)] * data.ndim
        places[axis] = slice(starts[number], ends[number], steps and steps[number])
        data = data[tuple(places)]
    return data


def _reduce_max(inputs: Inputs, known: Known, attributes: Attributes) -> Tensor:
    data: Tensor = inputs[0]
    axes = attributes.get("axes") or known[1]
    return data.amax(tuple(axes), keepdim=bool(attributes.get("keepdims", 1)))


def _gather_nd(inputs: Inputs, _: Known, attributes: Attributes) -> Tensor:
    data: Tensor = inputs[0]
    places: Tensor = inputs[1]
    _refuse(attributes.get("batch_dims", 0) != 1 or places.shape[-1] != 1, "GatherND but of rows")
    return data.gather(1, places.expand(-1, -1, data.shape[2]))


def _unsqueeze(inputs: Inputs, known: Known, _: Attributes) -> Tensor:
    data: Tensor = inputs[0]
    for axis in known[1]:
        data = data.unsqueeze(axis)
    return data


def _expand(inputs: Inputs, known: Known, _: Attributes) -> Tensor:
    data: Tensor = inputs[0]
    return data.expand(torch.broadcast_shapes(data.shape, tuple(known[1])))


def _beside(tensors: Inputs) -> list[Tensor]:
    """Return tensors on one device: shapes are kept in the computer's memory."""
    device = next((each.device for each in tensors if each.device.type != "cpu"), None)
    return list(tensors) if device is None else [each.to(device) for each in tensors]


def _divided(inputs: Inputs, _: Known, __: Attributes) -> Tensor:
    one, other = _beside(inputs)
    whole = not one.is_floating_point() and not other.is_floating_point()
    return torch.div(one, other, rounding_mode="trunc" if whole else None)


def _refuse(refused: bool, what: str) -> None:
    if refused:
        raise NotImplementedError(f"the network has a {what}, which this benchmark cannot run")


OPERATORS: dict[str, Operator] = {
    "Abs": lambda x, _, __: x[0].abs(),
    "Add": lambda x, _, __: torch.add(*_beside(x)),
    "AveragePool": _average_pool,
    "ArgMax": lambda x, _, a: x[0].argmax(a["axis"], keepdim=bool(a.get("keepdims", 1))),
    "Cast": lambda x, _, a: x[0].to(DTYPES[a["to"]]),
    "Concat": lambda x, _, a: torch.cat(_beside(x), a["axis"]),
    "Conv": _convolution,
    "Div": _divided,
    "Expand": _expand,
    "Gather": lambda x, _, a: x[0].index_select(a.get("axis", 0), _beside(x)[1].reshape(-1)),
    "GatherND": _gather_nd,
    "Identity": lambda x, _, __: x[0],
    "IsNaN": lambda x, _, __: x[0].isnan(),
    "Less": lambda x, _, __: torch.lt(*_beside(x)),
    "MatMul": lambda x, _, __: x[0] @ x[1],
    "MaxPool": _max_pool,
    "Mul": lambda x, _, __: torch.mul(*_beside(x)),
    "ReduceMax": _reduce_max,
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": lambda x, _, __: torch.tensor(x[0].shape),
    "Sigmoid": lambda x, _, __: x[0].sigmoid(),
    "Slice": _slice,
    "Softmax": lambda x, _, a: x[0].softmax(a.get("axis", -1)),
    "Split": lambda x, k, a: x[0].split(k[1], a.get("axis", 0)),
    "Squeeze": lambda x, k, _: x[0].squeeze(tuple(k[1])),
    "Sub": lambda x, _, __: torch.sub(*_beside(x)),
    "TopK": lambda x, k, a: tuple(x[0].topk(k[1][0], a.get("axis", -1))),
    "Transpose": lambda x, _, a: x[0].permute(a["perm"]),
    "Unsqueeze": _unsqueeze,
    "Where": lambda x, _, __: torch.where(*_beside(x)),
}
