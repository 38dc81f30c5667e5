import numpy as np

from vatrace.inference.explain import modality_shares, recursion_changes


def test_shares_are_leave_one_out_distances_over_their_sum() -> None:
    values = np.array([[0.3, 0.4], [0.0, 0.0], [0.1, 0.1]])
    without = {
        "face": np.array([[0.0, 0.0], [0.0, 0.0], [0.1, 0.1]]),  # moves it by 0.5, 0, 0
        "voice": np.array([[0.3, 0.4], [0.2, 0.0], [0.1, 0.1]]),  # by 0, 0.2, 0
        "words": np.array([[0.3, 0.9], [0.0, 0.6], [0.1, 0.1]]),  # by 0.5, 0.6, 0
    }
    shares = modality_shares(values, without, dict.fromkeys(without, np.ones(3, bool)))
    np.testing.assert_allclose(shares["face"], [0.5, 0, np.nan])
    np.testing.assert_allclose(shares["voice"], [0, 0.25, np.nan])
    np.testing.assert_allclose(shares["words"], [0.5, 0.75, np.nan])


def test_a_share_is_only_given_where_the_modality_is_present_or_remembered() -> None:
    values = np.zeros((4, 2))
    without = {"face": np.full((4, 2), [0.3, 0.0]), "voice": np.array([[0.1, 0], [0.1, 0], [0.004, 0], [0, 0]])}
    present = {"face": np.array([True, True, True, False]), "voice": np.array([True, False, False, False])}
    shares = modality_shares(values, without, present)  # the voice is remembered for one step, the face still at the last
    np.testing.assert_allclose(shares["voice"], [0.25, 0.25, np.nan, np.nan])
    np.testing.assert_allclose(shares["face"], [0.75, 0.75, 1, 1])


def test_changes_are_distances_from_one_recursion_to_the_next() -> None:
    recursions = np.array([[[0.0, 0.0]], [[0.3, 0.4]], [[0.3, 0.1]]])  # (3, T = 1, 2)
    np.testing.assert_allclose(recursion_changes(recursions), [[0.5], [0.3]])
    assert recursion_changes(recursions[:1]).shape == (0, 1)
