"""The command line: parses and prints, nothing else. One command a file, imported when it is called."""

from harness.cli.main import main

__all__ = ["main"]
