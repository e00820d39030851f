"""The command line: arguments in, text, files and exit codes out.

Exit codes: 0 done; 1 training diverged, or the gradient check before it failed; 2 wrong arguments,
input that cannot be used, or output that cannot be written; 3 a fit did not converge; 130 and 143
interrupted, by Ctrl-C and by SIGTERM. Of ``check``: 0 passed; 1 wrong; 2 no verdict, for the call
is bad or the input cannot be used; 3 vacuous, the check could not have failed; 4 undecided.
"""

import os
import sys
from collections.abc import Sequence

import jaxlr
from jaxlr.extras import MissingExtraError, extra


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` unless given); return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except MissingExtraError as error:
        print(f"jaxlr: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("jaxlr: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output, `head` say, has seen enough
        drop_output()
        return 1
    except OSError as error:  # a full disk, say: no fault of ours, so no traceback
        place = f"{error.filename}: " if error.filename else ""
        print(f"jaxlr: {place}{error.strerror or error}", file=sys.stderr)
        drop_output()
        return 2


def _run(argv: Sequence[str]) -> int:
    if list(argv) == ["--version"]:
        print(f"jaxlr {jaxlr.__version__}")
        return 0
    with extra("cli"):
        from jaxlr.cli import commands
    return commands.run(argv)


def drop_output() -> None:
    """Send what is not yet written nowhere: Python would try, and fail, once more as it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
