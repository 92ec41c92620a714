"""Write docs/cli.md from the programs' own help; `--check` only compares."""

import os
import subprocess
import sys
from pathlib import Path

from googlenet.cli.verbs import COMMANDS as VERBS

PAGE = Path(__file__).with_name("cli.md")
HEAD = "# The command line\n\nGenerated from `googlenet VERB --help` by `python docs/generate.py`.\n"


def helped(*words: str) -> str:
    """The help text of one verb."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, "-m", "googlenet", *words, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def page() -> str:
    """The whole reference."""
    parts = [HEAD, f"```text\n{helped()}\n```\n"]
    parts += [f"## googlenet {verb}\n\n```text\n{helped(verb)}\n```\n" for verb in VERBS]
    return "\n".join(parts)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text() != page())
    PAGE.write_text(page())
