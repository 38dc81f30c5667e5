"""How well a run agrees with the labels, and which of several runs is better."""
