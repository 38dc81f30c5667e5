import numpy as np
import pytest
import torch
from faster_whisper import WhisperModel
from numpy.typing import NDArray

from vatrace.weights import find_whisper, onnx_session
from voice_frames import WIDTH, FirstLayers, tensors


@pytest.fixture(scope="module")
def mels(speech: NDArray[np.float32]) -> NDArray[np.float32]:
    from faster_whisper.feature_extractor import FeatureExtractor

    return np.asarray(FeatureExtractor()(speech[: 30 * 16_000])[None, :, :3000], np.float32)


@pytest.fixture(scope="module")
def weights() -> dict[str, NDArray[np.float32]]:
    return tensors(find_whisper() / "model.bin")


def test_all_layers_together_are_whispers_encoder(weights: dict[str, NDArray[np.float32]], mels: NDArray[np.float32]) -> None:
    whisper = WhisperModel(str(find_whisper()), device="cpu", compute_type="float32")
    expected = np.array(whisper.encode(mels[0]))[0]
    with torch.inference_mode():
        hidden = FirstLayers(weights, num_layers=4)(torch.from_numpy(mels))
    normed = torch.nn.functional.layer_norm(
        hidden,
        (WIDTH,),
        torch.from_numpy(weights["encoder/layer_norm/gamma"]),
        torch.from_numpy(weights["encoder/layer_norm/beta"]),
    )
    np.testing.assert_allclose(normed.numpy(), expected, atol=2e-3)


@pytest.mark.parametrize("length", [2, 150, 1500])
def test_the_packages_frames_are_those_of_the_first_layers(
    length: int, weights: dict[str, NDArray[np.float32]], mels: NDArray[np.float32]
) -> None:
    part = np.ascontiguousarray(mels[:, :, : 2 * length])
    with torch.inference_mode():
        expected = FirstLayers(weights)(torch.from_numpy(part)).numpy()
    (frames,) = onnx_session("voice_frames.onnx").run(None, {"mels": part})
    assert frames.shape == expected.shape == (length, WIDTH)
    assert np.corrcoef(frames.ravel(), expected.ravel())[0, 1] > 0.995  # 8 bits
