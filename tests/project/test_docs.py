"""The documents against the program."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from googlenet.cli.verbs import VERBS

ROOT = Path(__file__).parents[2]


def test_reference_is_what_the_program_says() -> None:
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"])
    assert done.returncode == 0, "run: python docs/generate.py"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_an_example(verb: str) -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    assert f"Example: googlenet {verb}" in text


def test_readme_is_short_and_its_links_lead_somewhere() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 120
    for link in re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", readme):
        target = "".join(link)
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_readme_names_only_options_that_exist() -> None:
    reference = (ROOT / "docs" / "cli.md").read_text()
    for line in (ROOT / "README.md").read_text().splitlines():
        if line.strip().startswith("googlenet "):
            for option in re.findall(r"--[a-z-]+", line):
                assert option in reference, f"{option} in: {line}"


def test_changelog_names_the_version() -> None:
    from googlenet import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
