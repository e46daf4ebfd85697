"""Text: how addresses are written for people.

Not here: names and look-ups (net/names.py).
"""

import os
from typing import Any

__all__ = ["address_text"]


def address_text(address: Any) -> str:
    """An address as a person writes it: host:port, [host]:port or a path."""
    if isinstance(address, tuple):
        host, port = address[0], address[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if isinstance(address, bytes):
        address = os.fsdecode(address)
    return str(address) if address else "(unnamed)"
