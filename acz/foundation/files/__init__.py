"""Files on disk: atomic writes, locks, hashes, and formats that several chapters read."""
