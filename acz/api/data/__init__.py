"""Making data sets of YouTube-8M and of video files."""
