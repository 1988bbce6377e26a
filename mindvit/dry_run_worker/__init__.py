"""The process of a dry run that compiles: it builds the network and the step of each job without data and weights."""
