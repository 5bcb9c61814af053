"""Programs that other processes of acz start."""
