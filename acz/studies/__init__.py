"""Many runs at once: sweeps, reports, benchmarks."""
