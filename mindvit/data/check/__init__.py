"""The command check-data: what a data set has, and what is wrong with it, before a run trains on it."""
