"""Video to a pipeline: packets or frames leave at a rate that the link can carry.

    source -> inbox -> (encoder) -> session -> the server
                          ^             |
                          +-- control <-+   answers tell how the link is doing

What decides, in plain numbers and without I/O: ``plan`` (codec, size, quality, frame rate),
``control`` (bits per second, frames in flight), ``inbox`` (what is dropped).
"""
