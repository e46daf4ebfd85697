"""Connections: streams, listeners and names, over any engine."""
