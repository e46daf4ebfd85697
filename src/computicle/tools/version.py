"""The version: of the distribution and of the command line."""

__version__ = "0.1.0"
