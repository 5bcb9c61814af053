"""The comparison of every backend with the NumPy reference: cases, jobs, bounds, report."""
