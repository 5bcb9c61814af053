"""Pages about runs, and pictures of single videos."""
