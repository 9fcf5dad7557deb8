"""Networks with random weights, made to answer pictures: no training.

1. BatchNorm takes its statistics from pictures, so that signals neither fade nor grow.
2. The last layer of the scores forgets what whole pictures differ in, so that each gets boxes.
3. It is scaled so that a few anchors in a hundred pass the threshold, the best with a score of 0.9.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.heads.mosaics import letterboxed_mosaics

# The share of anchors below the threshold, and below the best score.
BELOW_THRESHOLD, BELOW_BEST = 0.92, 0.999
THRESHOLD_LOGIT, BEST_LOGIT = math.log(0.25 / 0.75), math.log(0.9 / 0.1)
# Of what tells whole pictures apart, so much is forgotten.
FORGOTTEN = 0.97


def tune_yolo(model: Any, width: int, height: int) -> None:
    """Tune the detection heads of a YOLOv8 to YOLO26, in place."""
    pictures = _pictures(width, height)
    _normalise(model, pictures)
    head = model.model[-1]
    heads = [(head.cv2, head.cv3)]
    if getattr(head, "one2one_cv2", None) is not None:
        heads.append((head.one2one_cv2, head.one2one_cv3))
    for boxes, scores in heads:
        score_layers = [branch[-1] for branch in scores]
        _forget_whole_pictures(score_layers, _seen(model, score_layers, pictures, inputs=True))
        _spread_scores(score_layers, _seen(model, score_layers, pictures))
        box_layers = [branch[-1] for branch in boxes]
        # Distances to the sides as such, or as a distribution.
        mean, deviation = (2.5, 0.6) if head.reg_max == 1 else (1.0, 1.5)
        _spread_boxes(box_layers, _seen(model, box_layers, pictures), mean, deviation)


def tune_rtdetr(model: Any, width: int, height: int) -> None:
    """Tune the decoder of an RT-DETR, in place."""
    pictures = _pictures(width, height)
    _normalise(model, pictures)
    head = model.model[-1]
    for layers in head.dec_bbox_head:
        nn.init.normal_(layers.layers[-1].weight, std=0.1)
    last = [head.dec_score_head[-1]]
    seen = [each.transpose(1, 2) for each in _seen(model, last, pictures)]
    _spread_scores(last, seen)


def _pictures(width: int, height: int) -> torch.Tensor:
    rgb = letterboxed_mosaics(width, height)[..., ::-1].transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(rgb, np.float32) / 255)


def _normalise(model: nn.Module, pictures: torch.Tensor) -> None:
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
            module.train()
    with torch.no_grad():
        model(pictures)
    model.eval()


def _seen(
    model: nn.Module, layers: Sequence[nn.Module], pictures: torch.Tensor, *, inputs: bool = False
) -> list[torch.Tensor]:
    """Return what comes out of layers, or goes into them: ``[pictures, channels, positions]``."""
    seen: dict[int, torch.Tensor] = {}

    def keep(index: int, value: torch.Tensor) -> None:
        seen[index] = value.detach().flatten(2)

    hooks = [
        layer.register_forward_hook(
            lambda _, given, out, index=index: keep(index, given[0] if inputs else out)
        )
        for index, layer in enumerate(layers)
    ]
    with torch.no_grad():
        model(pictures)
    for hook in hooks:
        hook.remove()
    return [seen[index] for index in range(len(layers))]


def _forget_whole_pictures(layers: Sequence[Any], inputs: Sequence[torch.Tensor]) -> None:
    for layer, features in zip(layers, inputs, strict=True):
        means = features.mean(2)
        _, sizes, directions = torch.linalg.svd(means - means.mean(0), full_matrices=False)
        count = int((sizes.cumsum(0) / sizes.sum() < FORGOTTEN).sum()) + 1
        kept = directions[: min(count, features.shape[1] // 2)]
        weights = layer.weight.data.flatten(1)
        layer.weight.data = (weights - weights @ kept.T @ kept).view_as(layer.weight)


def _spread_scores(layers: Sequence[Any], outputs: Sequence[torch.Tensor]) -> None:
    shares = torch.tensor([BELOW_THRESHOLD, BELOW_BEST])
    for layer, logits in zip(layers, outputs, strict=True):
        threshold, best = torch.quantile(logits.max(1).values.flatten(), shares).tolist()
        scale = (BEST_LOGIT - THRESHOLD_LOGIT) / (best - threshold)
        layer.weight.data *= scale
        layer.bias.data = (layer.bias.data - threshold) * scale + THRESHOLD_LOGIT


def _spread_boxes(
    layers: Sequence[Any], outputs: Sequence[torch.Tensor], mean: float, deviation: float
) -> None:
    for layer, numbers in zip(layers, outputs, strict=True):
        scale = deviation / float(numbers.std())
        layer.weight.data *= scale
        layer.bias.data = (layer.bias.data - numbers.mean((0, 2))) * scale + mean
