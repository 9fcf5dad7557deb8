from __future__ import annotations

from builder.benchmark.wire import image_request_bytes, tensor_request_bytes


def test_a_request_is_its_content_and_little_more() -> None:
    assert 0 < image_request_bytes("codes", bytes(100_000)) - 100_000 < 100
    assert 0 < tensor_request_bytes("codes", 640, 640) - 4 * 3 * 640 * 640 < 100
