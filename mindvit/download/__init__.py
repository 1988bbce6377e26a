"""Downloading published files and archives, from servers that may stall or lie."""
