"""Laws are tried on the same examples every time; HYPOTHESIS_PROFILE=search looks for new ones, many more of them."""

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
