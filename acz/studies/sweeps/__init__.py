"""Sweeps: many training runs from one file, each in a process of its own, on this machine or a Ray cluster."""
