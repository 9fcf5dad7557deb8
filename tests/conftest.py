"""What every test may use."""

from __future__ import annotations

import sys
from pathlib import Path

import thin_client.contract

ROOT = Path(__file__).parent.parent
SERVED_MODELS = ROOT / "src" / "builder" / "served_models"

# Served models import each other, and the contract, as the files lie together in a model's folder.
sys.path[:0] = [str(SERVED_MODELS / folder) for folder in ("shared", "preprocess", "postprocess")]
sys.modules["contract"] = thin_client.contract
