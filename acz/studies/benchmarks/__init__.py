"""Benchmarks: what `acz bench` measures, each as a ratio of two things timed in turn."""
