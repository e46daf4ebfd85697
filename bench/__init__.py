"""Bench: ours beside its peers. `python -m bench` runs it, from the root of the checkout.

Not here: tests of what is right (tests/). A number is never a test.
"""
