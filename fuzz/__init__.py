"""Fuzzing of every reader of files: `python -m fuzz.run idx --minutes 10`. See docs/reliability.md."""
