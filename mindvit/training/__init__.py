"""Training: optimizer, schedule, callbacks, and the trainer that joins them."""
