"""`python -m googlenet`."""

from googlenet.cli import run

run()
