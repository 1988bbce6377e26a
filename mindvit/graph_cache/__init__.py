"""Compiled graphs of earlier processes, so that a program that starts again does not compile them again."""
