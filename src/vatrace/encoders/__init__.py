"""From face crops and words to feature vectors (the voice's come from `vatrace.speech`)."""
