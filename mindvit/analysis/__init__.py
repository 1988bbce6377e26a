"""Parameters, FLOPs and memory of a network, computed from its configuration."""
