"""Sweeps: many trials of one configuration, each a training run in a process of its own, on this machine or a Ray cluster."""
