"""What a container needs to serve a repository, worked out from the repository."""
