"""YouTube-8M on disk: records, messages, videos, indices."""
