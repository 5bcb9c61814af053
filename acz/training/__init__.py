"""Training runs: the loop, its batches, and the run folder."""
