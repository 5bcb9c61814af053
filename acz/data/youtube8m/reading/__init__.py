"""Batches of YouTube-8M: order, sampling, processes that read."""
