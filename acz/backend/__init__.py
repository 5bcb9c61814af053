"""The seam between the core and a framework: what a backend supplies, how one is found, and its own process."""
