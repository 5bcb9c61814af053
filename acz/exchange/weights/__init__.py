"""Weights of other systems in, and a framework's own files out."""
