"""WeightSaver: finding, reading, writing and loading them."""
