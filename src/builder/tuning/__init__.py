"""Searching the settings of a pipeline with which a machine keeps a latency bound."""
