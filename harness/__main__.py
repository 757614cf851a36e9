"""`python -m harness` is the command line, as `harness` is."""

from harness.cli import main

if __name__ == "__main__":
    main()
