"""A WebSocket and an HTTP endpoint before Triton's gRPC: for browsers, and whoever has no gRPC.

A bridge and no more: what comes in goes to the pipeline as it is, no pixel is looked at.
"""
