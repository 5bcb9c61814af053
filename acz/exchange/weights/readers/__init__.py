"""Kinds of files that hold weights, and their arrays."""
