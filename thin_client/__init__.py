"""Framewire's thin client: encoded images in, boxes out."""

__version__ = "0.1.0"
