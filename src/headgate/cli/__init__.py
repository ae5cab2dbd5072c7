"""Door 3: the command line.

Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong use or a bad configuration,
3 stopped by budget, 4 finished with failed rows. Each command is one file; `app.py` lists them.
"""


def main() -> None:
    """Run the command line."""
    from headgate.cli.app import run

    run()
