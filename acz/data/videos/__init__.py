"""Videos: files are decoded by a process of ffmpeg, and features of their frames and sound become a data set."""
