"""Experiment trackers, one file each: what they all do is ``tracker.Tracker``."""
