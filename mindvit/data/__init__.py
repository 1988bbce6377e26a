"""Data sources, transforms, augmentation and input pipelines."""
