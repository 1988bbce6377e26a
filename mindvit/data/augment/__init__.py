"""Data augmentation. Every random choice comes from the generator that the caller passes."""
