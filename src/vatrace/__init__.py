"""Valence and arousal over time from video: face, voice and words, on your own machine."""

import os

# ONNX Runtime's official builds report usage to a server unless this is set before the library is first loaded
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

from vatrace.inference.model import Model, load_model, predict
from vatrace.inference.prediction import Prediction

__version__ = "0.1.0"
__all__ = ["Model", "Prediction", "load_model", "predict"]
