"""Training: setup, training step, optimizers, schedules, callbacks, checkpoints, and the trainer that runs them."""
