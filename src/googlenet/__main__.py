"""`python -m googlenet`."""

from googlenet.cli.main import run

run()
