from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from calibrate import HEARD, RATED, UNHEARD, UNKNOWN_LANGUAGE, by_language

WIDTHS = {"face": (0.3, 0.2), "face+words": (0.3, 0.2), "voice": (0.5, 0.4), "words": (0.4, 0.3), "voice+words": (0.2, 0.1)}


def test_half_widths_grow_where_errors_do() -> None:
    missed = {language: np.full(10, 0.1 * place) for place, language in enumerate(RATED, 3)}  # 0.3, 0.4, 0.5 and 0.6
    found = by_language(WIDTHS | {"words, in another language": (9.0, 9.0)}, missed)
    assert {name: found[name] for name in WIDTHS} == WIDTHS and not any("face" in name and ", in " in name for name in found)
    assert found["words, in another language"] == pytest.approx((0.6, 0.3))
    assert found["voice+words, in another language"] == pytest.approx((0.3, 0.1))
    assert found[f"words, in {RATED[0]}"] == (0.4, 0.3)  # never narrower than in English
    first, second = (factor / UNHEARD for factor in UNKNOWN_LANGUAGE)
    assert found["voice, in another language"] == pytest.approx((0.5 * first, 0.4 * second))
    assert all(found[f"voice, in {language}"] == WIDTHS["voice"] for language in HEARD)
