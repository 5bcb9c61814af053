"""The ground of every chapter: errors, arrays, settings, randomness, files, processes.

It imports nothing of acz above it.
"""
