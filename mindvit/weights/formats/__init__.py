"""Files of weights as other programs write them, read without executing anything in them: a file for each format."""
