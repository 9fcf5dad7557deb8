"""Rewrites of ONNX graphs, one to a file."""
