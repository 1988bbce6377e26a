"""From files to batches: sources of images, their preparation, and the pipeline that joins them."""
