"""The detectors that pipelines are made of: files, heads, labels."""
