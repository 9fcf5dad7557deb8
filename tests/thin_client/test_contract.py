"""What clients of before rely on."""

from __future__ import annotations

from thin_client.contract import (
    OPTIONAL_PARAMETERS,
    OPTIONAL_STATUSES,
    READ_STATUSES,
    REQUEST_PARAMETERS,
    STREAM_PARAMETERS,
    DamagedImages,
    ImageStatus,
    contract_fingerprint,
    stream_fingerprint,
)


def test_the_fingerprints_are_those_of_before():
    # A client and a pipeline with other ones refuse each other.
    assert contract_fingerprint() == "181bedfe6ea9ad7a"
    assert stream_fingerprint() == "ea47ee66b9ab7c40"


def test_what_came_later_is_outside_of_them_and_named_once():
    assert OPTIONAL_PARAMETERS == ("damaged",)
    assert not {*OPTIONAL_PARAMETERS} & {*REQUEST_PARAMETERS, *STREAM_PARAMETERS}
    assert OPTIONAL_STATUSES == (ImageStatus.DAMAGED, ImageStatus.NOT_LOOKED_AT)
    assert ImageStatus.DAMAGED == 10
    assert ImageStatus.NOT_LOOKED_AT == 11
    assert READ_STATUSES == (ImageStatus.OK, ImageStatus.DAMAGED)
    assert [each.value for each in DamagedImages] == ["refuse", "accept"]
