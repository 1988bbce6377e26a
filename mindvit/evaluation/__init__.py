"""Evaluation: Top-1, Top-5 and loss of a network on a data set."""
