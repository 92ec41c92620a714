"""Write docs/cli.md from the help of the program; with `--check`, only compare."""

import os
import subprocess
import sys
from pathlib import Path

from googlenet.cli.verbs import VERBS

PAGE = Path(__file__).with_name("cli.md")
HEAD = "# The command line\n\nGenerated from `googlenet VERB --help` by `python docs/generate.py`.\n"


def help_text(*words: str) -> str:
    """The help text of one verb."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, "-m", "googlenet", *words, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def page() -> str:
    """The whole reference."""
    parts = [HEAD, f"```text\n{help_text()}\n```\n"]
    parts += [f"## googlenet {verb}\n\n```text\n{help_text(verb)}\n```\n" for verb in VERBS]
    return "\n".join(parts)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text() != page())
    PAGE.write_text(page())
