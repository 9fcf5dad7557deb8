"""The fire drill: known failures, caused on purpose. See docs/reliability.md."""
