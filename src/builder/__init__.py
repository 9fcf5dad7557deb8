"""Framewire's builder: detectors to Triton pipelines, served and checked."""

__version__ = "0.1.0"
