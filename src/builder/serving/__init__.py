"""Running Triton over a repository, and talking to one that runs."""
