"""computicle: plain sequential code, thousands of conversations at once.

from computicle import *

def main():
    spawn(greet, "one")
    spawn(greet, "two")

def greet(name):
    sleep(1)
    print("hello from", name)

run(main)
"""

from computicle.words import *
from computicle.words import __all__ as __all__
