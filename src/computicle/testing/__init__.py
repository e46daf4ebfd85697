"""For tests of programs that use computicle: the simulator."""

from computicle.engine.simnet import Network
from computicle.testing.simulate import simulate

__all__ = ["Network", "simulate"]
