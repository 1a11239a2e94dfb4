"""Anchors are compared to all the digits that were printed; pages are opened in one browser for each test file."""

import pytest

from tests.meanfield.browser import chromium


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium (tests/meanfield/browser.py)."""
    with chromium(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture
def printed():
    """The number of a decimal text, equal to 1e-11 relative or to half a unit in its last place, whichever is more."""

    def anchor(text):
        digits = len(text.partition(".")[2])
        return pytest.approx(float(text), rel=1e-11, abs=0.51 * 10.0**-digits)

    return anchor
