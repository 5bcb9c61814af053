"""Engines: each starts the ranks of a call, on this host or on a cluster, and gives the answer of rank 0. And groups of workers."""
