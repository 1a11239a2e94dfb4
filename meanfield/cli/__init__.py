"""The command line: one command for each verb of `meanfield`, with tables for people and --json for machines.

Each file here registers its commands with `app` and is found without being listed. Blocks are text in the layer
algebra, read by `symbolic.blocks` and never executed. Exit status: 0 done, or the theory agrees; 1 it disagrees or the
check is inconclusive; 2 a wrong question, said in one line on stderr; 130 interrupted.
--json prints one object and nothing else; numbers that JSON lacks are the strings "inf", "-inf" and "nan".
"""

import sys
from importlib import import_module
from pkgutil import iter_modules

from meanfield.cli.app import app

__all__ = ["app", "main"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")


def main() -> None:
    try:
        app(prog_name="meanfield")
    except KeyboardInterrupt:  # a second time, while the first was being told
        sys.exit(130)
