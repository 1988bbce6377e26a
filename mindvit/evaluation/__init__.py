"""Measuring how often a network is right."""
