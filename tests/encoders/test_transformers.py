import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vatrace.encoders import EncoderSpec, parse_encoders
from vatrace.encoders.transformers import TransformersVoiceEncoder
from vatrace.errors import CheckpointError
from vatrace.features.perceiver import Perceiver
from vatrace.media.mixing import choose_mix
from vatrace.media.reading import SAMPLING_RATE, AudioReader
from vatrace.media.recording import open_recording
from vatrace.timeline import num_steps

HOP, FIELD = 320, 400
"""Samples between frames, and samples that a frame spans, for wav2vec 2.0 and similar networks."""
KINDS = ("Wav2Vec2", "Hubert", "WavLM")
WINDOW, CONTEXT = 1000, 100
"""Frames."""


def write_folder(folder: Path, kind: str = "Wav2Vec2", local: bool = False, normalize: bool = False, **other: Any) -> Path:
    """A small random network in the hub's layout; a `local` one has neither attention nor statistics over the window."""
    import transformers

    torch.manual_seed(0)
    config = {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "conv_dim": (8,) * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 2,
        "feat_extract_norm": "layer" if local else "group",
    }
    network = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**config, **other))
    if local:
        for layer in network.encoder.layers:
            torch.nn.init.zeros_(layer.attention.out_proj.weight)
    network.save_pretrained(folder)
    facts = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": normalize, "sampling_rate": SAMPLING_RATE}
    (folder / "preprocessor_config.json").write_text(json.dumps(facts))
    return folder


def noise(seconds: float) -> NDArray[np.float32]:
    """Noise whose loudness changes."""
    count = round(seconds * SAMPLING_RATE)
    loudness = 0.1 * (1.5 + np.sin(np.arange(count) / SAMPLING_RATE))
    return (np.random.default_rng(0).normal(size=count) * loudness).astype(np.float32)


def in_blocks(audio: NDArray[np.float32], sizes: list[int]) -> Iterator[NDArray[np.float32]]:
    position = 0
    while position < len(audio):
        for size in sizes:
            yield audio[position : position + size]
            position += size


def together(encoder: TransformersVoiceEncoder, blocks: Iterator[NDArray[np.float32]], rate: float) -> NDArray[np.float32]:
    """All vectors (T, D), after a check that each step occurs exactly once."""
    parts: list[NDArray[np.float32]] = []
    for step, vectors in encoder.steps(blocks, rate):
        assert step == sum(map(len, parts)) and len(vectors) and vectors.dtype == np.float32
        parts.append(vectors)
    return np.concatenate(parts)


def frames_of(folder: Path, audio: NDArray[np.float32], normalize: bool = False) -> NDArray[np.float32]:
    """The frames (N, D) of audio, from the network alone."""
    from transformers import AutoModel

    if normalize:
        audio = (audio - audio.mean()) / np.sqrt(audio.var() + 1e-7)
    with torch.no_grad():
        return np.asarray(AutoModel.from_pretrained(folder).eval()(torch.from_numpy(audio)[None]).last_hidden_state[0])


def with_silence(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Audio, padded with the silence that its last frame needs."""
    return np.pad(audio, (0, max((-(-len(audio) // HOP) - 1) * HOP + FIELD - len(audio), 0)))


def one_pass(folder: Path, audio: NDArray[np.float32], normalize: bool = False) -> NDArray[np.float32]:
    """The frames (N, D) of a whole recording."""
    return frames_of(folder, with_silence(audio), normalize)


def on_grid(frames: NDArray[np.float32], rate: float, steps: int) -> NDArray[np.float32]:
    """Written a second time, step by step: the mean of a step's frames, or the last frame before it."""
    times = np.arange(len(frames)) / 50
    rows = []
    for step in range(steps):
        inside = (times > step / rate - 1e-5) & (times < (step + 1) / rate - 1e-5)
        current = np.flatnonzero(times < step / rate + 1e-5)[-1]
        rows.append(frames[inside].mean(axis=0) if rate <= 50 and inside.any() else frames[current])
    return np.array(rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalize", [False, True])
def test_a_step_has_the_mean_of_its_frames(tmp_path: Path, kind: str, normalize: bool) -> None:
    folder, audio = write_folder(tmp_path, kind, normalize=normalize), noise(5.1)
    spec = parse_encoders(f"voice=hf:{folder}")["voice"]
    assert spec.dim == 24 and spec.version.startswith("hf-") and not spec.on_whisper
    found = together(spec.build(1), in_blocks(audio, [len(audio)]), 10)
    np.testing.assert_allclose(found, on_grid(one_pass(folder, audio, normalize), 10, 51), atol=1e-4)


def test_normalisation_is_done_where_the_folder_states_it(tmp_path: Path) -> None:
    audio = noise(2)
    found = []
    for normalize in (False, True):
        folder = write_folder(tmp_path / str(normalize), local=True, normalize=normalize)
        encoder = TransformersVoiceEncoder(folder)
        found.append([together(encoder, in_blocks(audio * gain, [len(audio)]), 10) for gain in (1, 0.1)])
    assert np.abs(found[0][0] - found[0][1]).max() > 1e-2
    np.testing.assert_allclose(found[1][0], found[1][1], atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_seams_between_windows_leave_no_trace(tmp_path: Path, kind: str) -> None:
    """A network that spans less than the context gives the same in windows as in one pass."""
    folder, audio = write_folder(tmp_path, kind, local=True), noise(45)
    found = together(TransformersVoiceEncoder(folder), in_blocks(audio, [60 * SAMPLING_RATE]), 10)
    whole = one_pass(folder, audio)
    np.testing.assert_allclose(found, on_grid(whole, 10, 450), atol=1e-4)
    assert np.std(whole, axis=0).min() > 0.05  # a difference would show


def test_a_window_has_two_seconds_of_context_on_either_side(tmp_path: Path) -> None:
    """With attention, a frame depends on its whole window: each window is written a second time."""
    folder, audio = write_folder(tmp_path, normalize=True), noise(45)
    found = together(TransformersVoiceEncoder(folder), in_blocks(audio, [7 * SAMPLING_RATE]), 50)
    frames, core = [], WINDOW - 2 * CONTEXT
    for first in (0, core, 2 * core):
        before = CONTEXT if first else 0
        start, stop = (first - before) * HOP, (first + core + CONTEXT - 1) * HOP + FIELD
        whole = stop <= len(audio)
        window = frames_of(folder, audio[start:stop] if whole else with_silence(audio[start:]), normalize=True)
        frames.append(window[before : before + core] if whole else window[before:])
    np.testing.assert_allclose(found, np.concatenate(frames), atol=1e-4)


@pytest.mark.parametrize("sizes", [[1600], [100000, 123, 7], [SAMPLING_RATE * 60]])
@pytest.mark.parametrize("rate", [10, 29.97, 50, 100])
def test_any_rate_and_blocks_of_any_size(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], rate: float) -> None:
    folder = write_folder(tmp_path_factory.mktemp("net"), local=True)
    audio = noise(20.013)
    found = together(TransformersVoiceEncoder(folder), in_blocks(audio, sizes), rate)
    steps = num_steps(len(audio) / SAMPLING_RATE, rate)
    assert len(found) == steps
    np.testing.assert_allclose(found, on_grid(one_pass(folder, audio), rate, steps), atol=1e-4)


@pytest.mark.parametrize("samples", [1, 300, 16000, 16001, 16100, 16160, 16320])
def test_every_step_up_to_the_end_has_a_vector(tmp_path: Path, samples: int) -> None:
    encoder = TransformersVoiceEncoder(write_folder(tmp_path))
    audio = noise(2)[:samples]
    for rate in (10, 30, 200):
        assert len(together(encoder, iter([audio]), rate)) == num_steps(samples / SAMPLING_RATE, rate)


def test_a_recording_has_a_voice_from_its_start_to_its_end(tmp_path: Path, talking: Path) -> None:
    folder = write_folder(tmp_path, "WavLM", local=True)
    perceiver = Perceiver(parse_encoders(f"face=none,words=none,voice=hf:{folder}"))
    perceived = perceiver.perceive(open_recording(talking), 25.0, {"voice"})
    percept = perceiver.percept(perceived, 0)
    assert percept.valid["voice"].all() and percept.num_steps == pytest.approx(100, abs=2)
    audio = np.concatenate(list(AudioReader(talking, 60))) * np.float32(choose_mix(talking).gain)
    expected = on_grid(one_pass(folder, audio), 25, percept.num_steps)
    np.testing.assert_allclose(percept.features(0, percept.num_steps)["voice"], expected, atol=0.02)  # half precision


def test_no_audio_has_no_steps(tmp_path: Path) -> None:
    encoder = TransformersVoiceEncoder(write_folder(tmp_path))
    assert list(encoder.steps(iter([]), 10)) == [] == list(encoder.steps([np.zeros(0, np.float32)], 10))


def test_weights_in_half_precision_are_used_in_single(tmp_path: Path) -> None:
    from transformers import AutoModel

    write_folder(tmp_path)
    AutoModel.from_pretrained(tmp_path).half().save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float16"
    assert together(TransformersVoiceEncoder(tmp_path), iter([noise(1)]), 10).shape == (10, 24)


def test_other_folders_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere: not a wav2vec2-like folder .*: no such folder"):
        TransformersVoiceEncoder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty: not a wav2vec2-like folder \(config\.json, preprocessor_config\.json"):
        TransformersVoiceEncoder(tmp_path / "empty")
    without = write_folder(tmp_path / "without")
    (without / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match="without: not a wav2vec2-like folder"):
        TransformersVoiceEncoder(without)
    telephone = write_folder(tmp_path / "telephone")
    facts = json.loads((telephone / "preprocessor_config.json").read_text()) | {"sampling_rate": 8000}
    (telephone / "preprocessor_config.json").write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match=r"telephone: .* must take audio at 16000 Hz"):
        TransformersVoiceEncoder(telephone)
    slow = write_folder(tmp_path / "slow", add_adapter=True)
    with pytest.raises(CheckpointError, match=r"slow: .* its frames don't match its convolutions"):
        TransformersVoiceEncoder(slow)


def test_a_folder_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(write_folder(tmp_path) / "model.safetensors")
    gone = "encoder.layers.1.feed_forward.output_dense.weight"
    save_file(
        {name: value for name, value in weights.items() if name != gone}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(CheckpointError, match=rf"{gone} is missing"):
        EncoderSpec("voice", "hf", tmp_path).build(1)
