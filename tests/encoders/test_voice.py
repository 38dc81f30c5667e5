from pathlib import Path

import numpy as np
import pytest
import torch

from vatrace.encoders import FEATURE_DIMS, parse_encoders
from vatrace.encoders.networks.voice import MAX_LOGIT, AttentiveStatistics, VoiceNet
from vatrace.encoders.voice import RavdessEncoder
from vatrace.features.perceiver import Perceiver
from vatrace.features.speech import Listener
from vatrace.media.mixing import choose_mix
from vatrace.media.reading import AudioReader
from vatrace.media.recording import open_recording
from vatrace.timeline import frames_on_grid
from vatrace.weights import find_whisper


def test_the_pooling_is_a_softmax_over_the_frames_around() -> None:
    torch.manual_seed(0)
    pool = AttentiveStatistics(channels=6, heads=2, reach=4)
    frames, valid = torch.randn(1, 15, 6), torch.ones(1, 15, dtype=torch.bool)
    valid[0, 12:] = False
    found = pool(frames, valid)[0].detach()
    logits = MAX_LOGIT * torch.tanh(pool.score(frames))[0].detach()
    for step in (0, 3, 7, 11):
        around = list(range(max(0, step - 4), min(12, step + 5)))
        for channel in range(6):
            weight = torch.softmax(logits[around, channel // 3], dim=0)
            values = frames[0, around, channel]
            mean = (weight * values).sum()
            deviation = (weight * (values - mean) ** 2).sum().clamp_min(1e-4).sqrt()
            assert found[step, channel] == pytest.approx(float(mean), abs=1e-5)
            assert found[step, 6 + channel] == pytest.approx(float(deviation), abs=1e-4)


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    model = VoiceNet(in_channels=12, channels=8, embedding_dim=5, reach=10).eval()
    frames = torch.randn(1, 30, 12)
    alone = model(frames, torch.ones(1, 30, dtype=torch.bool))
    padded = torch.cat([frames, 100 * torch.randn(1, 25, 12)], dim=1)
    beside = model(padded, torch.arange(55)[None] < 30)
    for one, other in zip(alone, beside, strict=True):
        torch.testing.assert_close(one, other[:, :30], atol=1e-5, rtol=1e-5)


def test_every_parameter_learns() -> None:
    model = VoiceNet(in_channels=12, channels=8, embedding_dim=5, reach=10)
    _, logits, values = model(torch.randn(3, 30, 12), torch.ones(3, 30, dtype=torch.bool))
    (logits.square().sum() + values.square().sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_the_packages_voice_network_uses_three_seconds_and_no_more() -> None:
    encoder = RavdessEncoder()
    frames = np.random.default_rng(0).normal(size=(400, 384)).astype(np.float32)
    vectors = encoder(frames)
    assert vectors.shape == (400, FEATURE_DIMS["voice"]) and vectors.dtype == np.float32
    changed = frames.copy()
    changed[200] += 5
    moved = np.abs(encoder(changed) - vectors).max(axis=1)
    assert (moved[125:276] > 0).all() and (moved[:124] < 1e-4).all() and (moved[277:] < 1e-4).all()
    assert encoder(frames[:1]).shape == (1, FEATURE_DIMS["voice"])
    assert encoder.emotions(frames).sum(axis=1) == pytest.approx(1, abs=1e-4)
    assert np.abs(encoder.valence_arousal(frames)).max() <= 1


@pytest.mark.parametrize("name", ["ravdess", "whisper"])
def test_the_voice_is_the_encoding_of_each_stretch_of_speech(name: str, talking: Path) -> None:
    perceiver = Perceiver(parse_encoders(f"voice={name}"))
    sound = perceiver.perceive(open_recording(talking), 10.0, {"voice"}, transcribe=False).sound
    encoder = RavdessEncoder() if name == "ravdess" else np.asarray
    listener = Listener(find_whisper())
    gain = choose_mix(talking).gain
    windows = list(listener.listen((block * gain for block in AudioReader(talking, 60)), transcribe=False))
    assert windows
    for window, covered in zip(windows, sound.covered, strict=True):
        start, expected = frames_on_grid(window.start, encoder(window.frames), 10.0)
        assert covered == range(start, start + len(expected))
        np.testing.assert_allclose(
            sound.frames.read(covered.start, covered.stop), expected, atol=0.02
        )  # kept in half precision
