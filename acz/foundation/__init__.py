"""What everything else stands on: errors, arrays, settings, randomness, files, processes. Imports nothing of acz above it."""
