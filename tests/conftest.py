"""What every test may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import thin_client.contract

ROOT = Path(__file__).parent.parent
SERVED_MODELS = ROOT / "src" / "builder" / "served_models"

# ONNX Runtime 1.29 and later tells Microsoft about models unless told not to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Served models import each other, and the contract, as the files lie together in a model's folder.
sys.path[:0] = [
    str(SERVED_MODELS / folder)
    for folder in ("shared", "preprocess", "network", "postprocess", "stream", "detect")
]
sys.modules["contract"] = thin_client.contract
