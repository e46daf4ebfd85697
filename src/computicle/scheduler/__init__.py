"""Who runs next: fibers, what they wait for, and the kernel of one thread."""
