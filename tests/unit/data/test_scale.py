from __future__ import annotations

import pytest

from steelyard.core.errors import ArgumentError
from steelyard.data.scale import RESIDENT_BYTES, is_resident


def test_small_data_live_on_the_device_unless_told_otherwise() -> None:
    assert is_resident(RESIDENT_BYTES)
    assert not is_resident(RESIDENT_BYTES + 1)
    assert is_resident(RESIDENT_BYTES + 1, "resident")
    assert not is_resident(0, "streamed")


def test_residence_is_a_known_word() -> None:
    with pytest.raises(ArgumentError, match="'auto' or 'resident' or 'streamed'"):
        is_resident(1, "disk")
