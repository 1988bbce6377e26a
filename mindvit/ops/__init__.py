"""The operations of the network and of the optimizers: one a file, with a portable form and forms for devices."""
