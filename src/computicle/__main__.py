"""`python -m computicle`: the command line, as tools/command.py has it."""

from computicle.tools.command import main

if __name__ == "__main__":
    main(prog_name="computicle")
