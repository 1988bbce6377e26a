"""Formats of weights files that other programs write, one module for each. Nothing in a file is executed."""
