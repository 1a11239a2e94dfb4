"""Anchors are compared to all the digits that were printed."""

import pytest


@pytest.fixture
def printed():
    """The number of a decimal text, equal to 1e-11 relative or to half a unit in its last place, whichever is more."""

    def anchor(text):
        digits = len(text.partition(".")[2])
        return pytest.approx(float(text), rel=1e-11, abs=0.51 * 10.0**-digits)

    return anchor
