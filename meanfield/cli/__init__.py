"""The command line: one command for each verb of `meanfield`, with tables for people and --json for machines.

Blocks are text in the layer algebra, read by `symbolic.blocks` and never executed. Exit status: 0 done, or the theory
agrees; 1 it disagrees or the check is inconclusive; 2 a wrong question, said in one line on stderr; 130 interrupted.
--json prints one object and nothing else; numbers that JSON lacks are the strings "inf", "-inf" and "nan".
"""

from meanfield.cli import explore, formulas, report, scales, trials
from meanfield.cli.app import app

__all__ = ["app", "explore", "formulas", "main", "report", "scales", "trials"]


def main() -> None:
    app(prog_name="meanfield")
