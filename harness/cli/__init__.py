"""The command line: parses and prints, nothing else. One command a file, imported when it is called."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    from harness.cli.main import main as run  # here, so that `python -m harness.cli.main` finds it not yet imported

    run(arguments)
