"""The page of environment variables: those of the command line's options, and the few others that are read."""

import click

from manual.commands import contexts, options, variables
from manual.markdown import cell, escaped, table

OTHERS = {
    "OMP_NUM_THREADS": "Set to 1 in every worker, whatever it is outside, so that a run gives the same bits again; "
    "`harness doctor` shows what it is in your shell.",
    "HF_HUB_OFFLINE": "Set to 1 in every worker: only the command that starts workers fetches, before they start.",
    "HF_HOME": "Where the Hub's own library keeps what it has fetched; files are linked from there into the store.",
    "XDG_CACHE_HOME": "`harness spectra` keeps spectra of weights and differences in `rlvr-harness` below it, "
    "else below `~/.cache`.",
    "NO_COLOR": "No colours in the progress on a terminal; cards and tables are plain text in any case.",
}
"""Variables that are not options."""


def environment_page() -> str:
    """Return the page of environment variables."""
    everywhere: dict[tuple[str, ...], tuple[str, str, list[str]]] = {}
    for context in contexts():
        for written, does, option in options(context):
            if (names := variables(context, option)) and not _said_once(context, option):
                everywhere.setdefault(names, (written, does, []))[2].append(context.command_path)
    shared = {names: said for names, said in everywhere.items() if len(said[2]) > 1 or said[2] == ["harness"]}
    own = {names: said for names, said in everywhere.items() if names not in shared}
    parts = [
        "# Environment variables",
        "Every option of the command line is also a variable. An option that is written stands before the variable; "
        "a switch is on where the variable is `1` or `true`.",
        "## Of all commands, or of several",
        _table(shared),
        "## Of one command",
        _table(own),
        "## Others",
        table(("variable", "does"), ((f"`{name}`", cell(escaped(text))) for name, text in OTHERS.items())),
    ]
    return "\n\n".join(parts) + "\n"


def _said_once(context: click.Context, option: click.Option) -> bool:
    """Whether an option is the same before a command's name, where its variable is the shorter one; or only tells."""
    return option.name in ("help", "version") or (context.parent is not None and option.name in ("json", "quiet"))


def _table(found: dict[tuple[str, ...], tuple[str, str, list[str]]]) -> str:
    rows = (
        (", ".join(f"`{name}`" for name in names), f"`{written}`", ", ".join(f"`{one}`" for one in of), escaped(does))
        for names, (written, does, of) in sorted(found.items())
    )
    return table(("variable", "option", "of", "does"), rows)
