"""``framewire bench``: how fast a pipeline is, by Triton's own load generator."""
