"""Checkpoints: finding, reading, writing and loading them."""
