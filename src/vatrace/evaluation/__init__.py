"""Agreement of runs with labels, and comparison of runs."""
