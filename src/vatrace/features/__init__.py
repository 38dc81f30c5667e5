"""From recordings to features of face, voice and words on one grid."""
