"""Image files in MindRecord shards: written once, then read like any other source."""
