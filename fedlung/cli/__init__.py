"""The command line: the only place of the library that prints or exits."""

from fedlung.cli.app import main

__all__ = ["main"]
