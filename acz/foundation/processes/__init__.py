"""This process and others: threads, prefetching, interrupts, processes that answer jobs."""
