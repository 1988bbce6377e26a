"""From files to batches: sources of pictures, their preparation, and the pipeline that joins them."""
