"""From the table of a study to findings: conditions, events, synchrony and agreement with ratings."""
