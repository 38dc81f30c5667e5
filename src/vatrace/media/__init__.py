"""Recordings, transcripts and devices; the only part that knows codecs."""
