"""``import tam_dist``."""

from __future__ import annotations

import tam_dist


def test_names_that_load_at_first_use_are_found() -> None:
    assert set(tam_dist.__all__) <= set(dir(tam_dist))
