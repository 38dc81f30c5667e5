"""Valence and arousal over time from video: face, voice and words, on your own machine.

Names at the top level are loaded when they are used, so that `import vatrace` and `vatrace --help` take no time.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

# ONNX Runtime's official builds report usage to a server unless this is set before the library is first loaded
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

if TYPE_CHECKING:
    from vatrace.encoders import FaceEncoder, SpeechEncoder, VoiceEncoder, WordEncoder, parse_encoders
    from vatrace.errors import (
        CheckpointError,
        ConfigError,
        CorpusError,
        MediaError,
        MissingExtraError,
        MissingWeightsError,
        ModelError,
        PluginError,
        RunError,
        StoreError,
        TrainingError,
        UsageError,
        VatraceError,
    )
    from vatrace.inference.follower import Value
    from vatrace.inference.model import Model, load_model, predict
    from vatrace.inference.prediction import Prediction
    from vatrace.inference.streamer import Streamer
    from vatrace.media.arrays import Arrays
    from vatrace.media.recording import Recording, open_recording
    from vatrace.media.transcripts import Word

__version__ = "0.2.0.dev0"
__all__ = [
    "Arrays",
    "CheckpointError",
    "ConfigError",
    "CorpusError",
    "FaceEncoder",
    "MediaError",
    "MissingExtraError",
    "MissingWeightsError",
    "Model",
    "ModelError",
    "PluginError",
    "Prediction",
    "Recording",
    "RunError",
    "SpeechEncoder",
    "StoreError",
    "Streamer",
    "TooLongError",
    "TrainingError",
    "UsageError",
    "Value",
    "VatraceError",
    "VoiceEncoder",
    "Word",
    "WordEncoder",
    "__version__",
    "load_model",
    "open_recording",
    "parse_encoders",
    "predict",
]
_MODULES = {
    "Arrays": "vatrace.media.arrays",
    "Word": "vatrace.media.transcripts",
    "Model": "vatrace.inference.model",
    "Prediction": "vatrace.inference.prediction",
    "Recording": "vatrace.media.recording",
    "Streamer": "vatrace.inference.streamer",
    "Value": "vatrace.inference.follower",
    "load_model": "vatrace.inference.model",
    "open_recording": "vatrace.media.recording",
    "parse_encoders": "vatrace.encoders",
    "predict": "vatrace.inference.model",
    **dict.fromkeys(("FaceEncoder", "SpeechEncoder", "VoiceEncoder", "WordEncoder"), "vatrace.encoders"),
    **dict.fromkeys((name for name in __all__ if name.endswith("Error")), "vatrace.errors"),
}
"""Where the names of `__all__` are defined."""


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
