"""Watching a Triton, and starting it again when it no longer does what users depend on."""
