"""Networks that compute in less than float32: made, measured against it, and refused if slower."""
