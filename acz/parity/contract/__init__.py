"""Promises of a backend beside equal numbers: a check for each, run in the backend's own process."""
