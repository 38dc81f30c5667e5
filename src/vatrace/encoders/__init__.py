"""From face crops and words to feature vectors; the voice's are Whisper's, from `vatrace.speech`."""

FEATURE_DIMS = {"face": 128, "voice": 384, "words": 384}
"""Channels of each modality's features."""
