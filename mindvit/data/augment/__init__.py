"""Varying training images: every random choice comes from the generator that is passed in, and from nothing else."""
