"""The report on a run: one HTML page without scripts and without the network."""
