from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sounds import hum, music, noise, timecode, write_tracks
from vatrace.media.mixing import TARGET_LEVEL, choose_mix, choose_weights, correlation, default_weights
from vatrace.media.reading import SAMPLING_RATE, AudioReader
from vatrace.media.voice_activity import speech_mask

STEREO = ("FL", "FR")
Audio = NDArray[np.float32]


@pytest.fixture(scope="module")
def voice(speech: Audio) -> Audio:
    """6 s of one voice."""
    return speech[: 6 * SAMPLING_RATE]


def heard(path: Path) -> Audio:
    return np.concatenate(list(AudioReader(path, 60)))


def test_surround_is_mixed_by_its_rule() -> None:
    weights = dict(
        zip(("FL", "FR", "FC", "LFE", "SL", "SR"), default_weights(("FL", "FR", "FC", "LFE", "SL", "SR")), strict=True)
    )
    # ITU-R BS.775: front left and right at -3 dB from the centre, surround at -6 dB, no low-frequency effects
    assert 20 * np.log10(weights["FL"] / weights["FC"]) == pytest.approx(-3, abs=0.02)
    assert 20 * np.log10(weights["SR"] / weights["FC"]) == pytest.approx(-6, abs=0.05)
    assert weights["LFE"] == 0 and sum(weights.values()) == pytest.approx(1)
    assert default_weights(STEREO) == (0.5, 0.5) and default_weights(("FC",)) == (1.0,)
    assert default_weights(("NONE",) * 4) == (0.25,) * 4


@pytest.mark.parametrize("other", ["same", "quieter", "silence", "quiet noise", "another voice", "nobody"])
def test_channels_that_do_no_harm_are_averaged(voice: Audio, speech: Audio, other: str) -> None:
    late = speech[6 * SAMPLING_RATE : 12 * SAMPLING_RATE]
    pair = {
        "same": [voice, voice],
        "quieter": [voice, 0.2 * voice],
        "silence": [voice, 0 * voice],
        "quiet noise": [voice, noise(len(voice), 0.0005)],
        "another voice": [np.concatenate([voice, 0 * late]), np.concatenate([0 * voice, late])],
        "nobody": [noise(len(voice)), -noise(len(voice))],
    }[other]
    assert choose_weights(np.stack(pair), STEREO) == (None, "")


def test_an_inverted_channel_is_inverted_back(voice: Audio) -> None:
    level = float(np.sqrt(np.mean(voice**2)))
    pair = np.stack([voice, -0.5 * voice + noise(len(voice), 0.1 * level)])
    weights, note = choose_weights(pair, STEREO)
    assert weights == (0.5, -0.5) and "the right one was inverted" in note


@pytest.mark.parametrize("kind", [hum, timecode, noise, music])
@pytest.mark.parametrize("side", [0, 1])
def test_a_channel_without_speech_is_left_out(voice: Audio, kind: object, side: int) -> None:
    assert callable(kind)
    pair = [voice, voice]
    pair[1 - side] = kind(len(voice))
    weights, note = choose_weights(np.stack(pair), STEREO)
    assert weights == ((1.0, 0.0) if side == 0 else (0.0, 1.0))
    assert f"only the {('left', 'right')[side]} one, which contains the speech, was used" in note


def test_a_delayed_copy_is_left_out(voice: Audio) -> None:
    delay = SAMPLING_RATE // 100
    pair = np.stack([voice, np.concatenate([np.zeros(delay, np.float32), voice[:-delay]])])
    weights, _ = choose_weights(pair, STEREO)
    assert weights is not None and sorted(weights) == [0.0, 1.0]


def test_channels_without_names_are_compared_as_well(voice: Audio) -> None:
    four = np.stack([hum(len(voice)), voice, -voice, timecode(len(voice))])
    weights, note = choose_weights(four, ("NONE",) * 4)
    assert weights in {(0, 0.5, -0.5, 0), (0, -0.5, 0.5, 0)}
    assert "only channels 2, 3, which contain the speech, were used" in note


def test_the_correlation_is_pearsons_without_an_offset() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 1000)).astype(np.float32)
    second += 0.5 * first
    assert correlation(first, second) == pytest.approx(
        first @ second / np.linalg.norm(first) / np.linalg.norm(second), abs=1e-6
    )
    assert correlation(first, 0 * first) == 0


@pytest.mark.parametrize("decibels", [-40, 0, 20])
def test_speech_is_brought_to_one_level(voice: Audio, tmp_path: Path, decibels: int) -> None:
    path = write_tracks(tmp_path / "a.wav", [voice[None] * np.float32(10 ** (decibels / 20))], ["mono"])
    mix = choose_mix(path)
    mono = np.concatenate(list(AudioReader(path, 60, mix))) * mix.gain
    assert 10 * np.log10(np.mean(mono[speech_mask(mono)] ** 2)) == pytest.approx(TARGET_LEVEL, abs=0.1)


@pytest.mark.parametrize("kind", [noise, hum, music])
def test_what_is_no_speech_is_not_made_louder(tmp_path: Path, kind: object) -> None:
    assert callable(kind)
    mix = choose_mix(write_tracks(tmp_path / "a.wav", [kind(10 * SAMPLING_RATE, 0.001)[None]], ["mono"]))
    assert mix.level is None and mix.gain == 1.0


def test_of_several_tracks_the_default_one_is_heard_if_it_holds_speech(voice: Audio, tmp_path: Path) -> None:
    pair = np.stack([voice, voice])
    quiet, music_track = 0 * pair, np.stack([music(len(voice))] * 2)
    cases = {
        "both speak": ([pair, 0.5 * pair], 0, 0, "the first was used"),
        "the second is the default": ([pair, 0.5 * pair], 1, 1, "the second was used, which is flagged as the default"),
        "the first is silent": ([quiet, pair], 0, 1, "the second was used, which contains the speech"),
        "music and a voice": ([music_track, quiet, pair], 0, 2, "the third was used, which contains the speech"),
        "nobody speaks": ([music_track, quiet], 0, 0, "the first was used"),
    }
    for name, (tracks, default, expected, note) in cases.items():
        path = write_tracks(tmp_path / f"{name}.mka", tracks, codec="pcm_s16le", default=default)
        mix = choose_mix(path)
        assert (mix.track, mix.notes) == (expected, (f"contains {len(tracks)} audio tracks: {note}",)), name
        level = np.sqrt(np.mean(tracks[expected] ** 2))
        assert np.sqrt(np.mean(heard(path) ** 2)) == pytest.approx(level, rel=0.01)


def test_a_long_recording_is_looked_at_in_parts(voice: Audio, tmp_path: Path) -> None:
    """Someone speaks late in it; what is held in memory for the decision stays small."""
    quiet = np.zeros((2, 900 * SAMPLING_RATE), np.float32)
    for start in range(400, 880, 10):
        quiet[1, start * SAMPLING_RATE :][: len(voice)] = voice
    quiet[0] = hum(quiet.shape[1])
    mix = choose_mix(write_tracks(tmp_path / "long.wav", [quiet], codec="pcm_s16le"))
    assert (
        list(mix.weights.values()) == [(0.0, 1.0)] and "only the right one, which contains the speech, was used" in mix.notes[0]
    )
