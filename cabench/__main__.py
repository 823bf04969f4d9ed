"""The command line's entry point: `python -m cabench` and `cabench`."""

from __future__ import annotations

import signal
import sys
from io import TextIOWrapper
from typing import NoReturn

from cabench.cli import app
from cabench.errors import StopRequested, UserError
from cabench.files.names import message
from cabench.hardening import supervision
from cabench.hardening.stopping import heard, stopping_at

INTERRUPTED = 130  # exit status of a command ended by Ctrl-C or SIGTERM


def console() -> None:
    """`python -m cabench` and `cabench`: a worker that this process watches computes a run; all else it does itself."""
    if supervision.is_worker():
        supervision.join()
    elif sys.argv[1:2] == ["run"] and supervision.POSSIBLE:
        sys.exit(supervision.supervise(sys.argv[1:]))
    main()


def main() -> None:
    """Run the command line. A user's mistake gives one line without a traceback, and exit status 2."""
    if isinstance(sys.stdout, TextIOWrapper):  # what its encoding lacks is escaped, as on standard error
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with stopping_at(*heard(signal.SIGINT, signal.SIGTERM)):
            app(prog_name="cabench")
    except UserError as error:
        _end(str(error))
    except OSError as error:  # of a path that cannot be read or written, named in its text
        _end(f"{error}.")
    except StopRequested:
        _say_stopped()
        sys.exit(INTERRUPTED)


def _end(reason: str) -> NoReturn:
    print(message(f"Error: {reason}"), file=sys.stderr)
    sys.exit(2)


def _say_stopped() -> None:
    if sys.argv[1:2] != ["plan"]:  # which computes nothing
        print("Stopped. Finished cells are saved; the same command goes on from here.", file=sys.stderr)


if __name__ == "__main__":
    console()
