"""The command line: words to a verb, its mistakes to one line and an exit status."""

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
from googlenet.cli.verbs import ABOUT, COMMANDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 0, 2 for the user's mistake, 1 for ours."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # file names that are not UTF-8 come out as they are
    if words == ["--version"]:
        print(f"googlenet {__version__}")
        return 0
    try:
        return parse(words)()
    except GoogLeNetError as error:
        who = f", process {rank() + 1} of {world_size()}" if world_size() > 1 else ""
        print(f"googlenet{who}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk behind our output, above all
        print(f"googlenet: {error.strerror or error}", file=sys.stderr)
        return 2


def parse(words: Sequence[str]) -> Callable[[], int]:
    """Turn the words of a command line into the call that they ask for.

    Raises InputError, in one line where tyro draws a box, for words that ask for nothing.
    """
    said = io.StringIO()
    verb = words[0] if words else ""
    try:
        with contextlib.redirect_stderr(said):
            if verb in COMMANDS:  # to lay out all the others takes as long as to start
                program = f"googlenet {verb}"
                return tyro.cli(COMMANDS[verb], prog=program, args=words[1:], config=(FlagCreatePairsOff,))
            call: Callable[[], int] = tyro.extras.subcommand_cli_from_dict(
                COMMANDS, prog="googlenet", description=ABOUT, args=words, config=(FlagCreatePairsOff,)
            )
            return call
    except SystemExit as stop:
        if stop.code == 2:
            raise InputError(_one_line(said.getvalue())) from None
        raise


def _one_line(box: str) -> str:
    """What tyro says inside its box, up to the first rule; borders and line breaks removed."""
    lines = [line.strip("╭╮╰╯│─ ") for line in box.splitlines()[1:]]
    text = " ".join(itertools.takewhile(bool, lines))
    return f"{text}; see googlenet --help" if text else "see googlenet --help"


def run() -> None:
    """The console command.

    It leaves without the interpreter's closing work: taking an engine apart, whose memory goes with the
    process anyway, is a seventh of the time of a first answer.
    """
    status = main()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # closed by who called us
                stream.flush()
    except BrokenPipeError:
        pass
    except OSError:
        status = 2
    os._exit(status)
