"""Pipelines in a repository: configs, manifests, versions, how they get there."""
