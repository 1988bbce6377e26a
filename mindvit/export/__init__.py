"""Deployment: a trained network as a file that other programs run, compared with the network before it is written."""
