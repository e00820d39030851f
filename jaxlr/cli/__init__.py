"""The command line: arguments in, text, files and exit codes out.

Exit codes: 0 done; 1 a check failed, training diverged, or the input cannot be used; 2 wrong
arguments; 130 interrupted.
"""

import sys
from collections.abc import Sequence

from jaxlr.extras import MissingExtraError, extra


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` unless given); return the exit code."""
    try:
        with extra("cli"):
            from jaxlr.cli import commands
        return commands.run(sys.argv[1:] if argv is None else argv)
    except MissingExtraError as error:
        print(f"jaxlr: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("jaxlr: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output, `head` say, has seen enough
        sys.stderr.close()
        return 1
