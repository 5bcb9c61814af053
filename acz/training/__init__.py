"""Training runs: the loop, its batches, and run folders."""
