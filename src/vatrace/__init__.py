"""Valence and arousal over time from video: face, voice and words, on your own machine."""

from vatrace.predict import Model, load_model, predict
from vatrace.prediction import Prediction

__version__ = "0.1.0"
__all__ = ["Model", "Prediction", "load_model", "predict"]
