"""Checkpoints: finding, reading, writing and loading weights."""
