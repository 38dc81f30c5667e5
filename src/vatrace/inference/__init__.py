"""From features to valence and arousal, of whole recordings and live."""
