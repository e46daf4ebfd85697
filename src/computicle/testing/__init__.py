"""For tests of programs that use computicle: the simulator."""
