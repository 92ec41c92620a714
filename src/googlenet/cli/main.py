"""The command line: words to a verb, errors to one line and an exit status."""

import contextlib
import io
import itertools
import os
import sys
from collections.abc import Callable, Sequence

import tyro
from tyro.conf import FlagCreatePairsOff

from googlenet.base.errors import GoogLeNetError, InputError
from googlenet.base.machine import rank, world_size
from googlenet.base.version import __version__
from googlenet.cli.verbs import VERBS, load_verb

ABOUT = """GoogLeNet (Inception V1): train it on your photos, measure it, use it.

Example: googlenet train photos --minutes 10 --out runs/photos

googlenet VERB --help explains a verb; googlenet --version prints the version.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 for a mistake of the user. Our own mistakes are raised."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # file names that are not UTF-8 come out as they are
    if words == ["--version"]:
        print(f"googlenet {__version__}")
        return 0
    try:
        return parse(words)()
    except GoogLeNetError as error:
        process = f", process {rank() + 1} of {world_size()}" if world_size() > 1 else ""
        print(f"googlenet{process}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output exited, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk behind our output, above all
        print(f"googlenet: {error.strerror or error}", file=sys.stderr)
        return 2


def parse(words: Sequence[str]) -> Callable[[], int]:
    """Parse a command line into the call that it names.

    Raises InputError, in one line where tyro draws a box, if the words cannot be parsed.
    """
    message = io.StringIO()
    verb = words[0] if words else ""
    try:
        with contextlib.redirect_stderr(message):
            if verb in VERBS:  # importing and laying out all verbs takes as long as the start itself
                program = f"googlenet {verb}"
                return tyro.cli(load_verb(verb), prog=program, args=words[1:], config=(FlagCreatePairsOff,))
            verbs = {name: load_verb(name) for name in VERBS}
            call: Callable[[], int] = tyro.extras.subcommand_cli_from_dict(
                verbs, prog="googlenet", description=ABOUT, args=words, config=(FlagCreatePairsOff,)
            )
            return call
    except SystemExit as stop:
        if stop.code == 2:
            raise InputError(_one_line(message.getvalue())) from None
        raise


def _one_line(box: str) -> str:
    """The text of tyro's box up to the first rule, without borders and line breaks."""
    lines = [line.strip("╭╮╰╯│─ ") for line in box.splitlines()[1:]]
    text = " ".join(itertools.takewhile(bool, lines))
    return f"{text}; see googlenet --help" if text else "see googlenet --help"


def run() -> None:
    """The console command.

    Exits without the interpreter's cleanup: destroying an engine, whose memory is freed with the process
    anyway, takes a seventh of the time of a first prediction.
    """
    status = main()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # None if the caller closed it
                stream.flush()
    except BrokenPipeError:
        pass
    except OSError:
        status = 2
    os._exit(status)
