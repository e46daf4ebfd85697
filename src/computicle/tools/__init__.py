"""For people at a terminal: the command line."""
