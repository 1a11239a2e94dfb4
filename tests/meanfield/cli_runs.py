"""How tests of the command line ask it: in this process, and as a process of its own."""

import json
import os
import subprocess
import sys

from typer.testing import CliRunner

from meanfield.cli import app

# A process started in the background by a script ignores interrupts, and so would its children.
HEARING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
PROGRAM = (sys.executable, "-c", "from meanfield.cli import main; main()")


def run(*arguments, **environment):
    return CliRunner(env=environment).invoke(app, [str(a) for a in arguments], prog_name="meanfield")


def answer(*arguments, status=0):
    result = run(*arguments, "--json")
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def complaint(*arguments):
    """The one line that a wrong question gets."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("meanfield: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def process(*arguments, **environment):
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **environment}
    )


def commands():
    return sorted(c.name or c.callback.__name__ for c in app.registered_commands)
