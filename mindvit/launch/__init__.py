"""Launches a job of several ranks with MindSpore's ``msrun``, and supervises its processes."""
