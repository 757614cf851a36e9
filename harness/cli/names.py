"""Names that a shell completes: hypotheses, protocols, bases and runs in reach of what is typed.

Only folders are listed and at most one protocol is read as YAML: no declaration is checked, no code of a project is
loaded, nothing is written. Whatever is wrong completes to nothing, for there is nobody to tell.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import click
from click.shell_completion import CompletionItem

from harness.cli.session import Session

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _completer(known: Callable[[click.Context, Session], Iterable[str]]) -> Completer:
    """Return what completes to the names of `known` that begin as typed, but for those that stand there already."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        given = ctx.params.get(parameter.name or "")
        there = set(cast("tuple[str, ...]", given)) if isinstance(given, tuple) else set[str]()
        try:
            names = sorted(set(known(ctx, _session(ctx))) - there)
        except Exception:  # a broken project, an unreadable folder: completion is silent
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]

    return complete


def _session(ctx: click.Context) -> Session:
    """Return the session that the words before would begin: where it works, and where its records are."""
    said = ctx.find_root().params
    return Session(said.get("directory") or Path("."), said.get("store"), quiet=True)


def _hypotheses(_: click.Context, session: Session) -> list[str]:
    return session.shelf.names("hypotheses")


def _protocols(_: click.Context, session: Session) -> list[str]:
    return session.shelf.names("runs")


def _declarations(ctx: click.Context, session: Session) -> list[str]:
    return [*_hypotheses(ctx, session), *_protocols(ctx, session)]


def _runs(_: click.Context, session: Session) -> list[str]:
    return [path.parent.name for path in session.store.runs.glob("*/spec.json")]


def _all_runs(ctx: click.Context, session: Session) -> list[str]:
    adopted = session.store.adopted_runs.glob("[!.]*/manifest.json")
    return [*_runs(ctx, session), *(path.parent.name for path in adopted)]


def _bases(ctx: click.Context, session: Session) -> list[str]:
    """Return the bases of the protocol in force, and each of their checkpoints as `base@checkpoint`."""
    from harness.spec.yaml_text import parse  # which bounds what a stranger's file may cost

    path = session.shelf.path("runs", session.protocol_name(ctx.params.get("protocol")))
    bases = cast("dict[str, dict[str, Any]]", parse(path.read_bytes()).data["bases"])
    return [*bases, *(f"{base}@{name}" for base, said in bases.items() for name in said.get("checkpoints", {}))]


hypothesis_names = _completer(_hypotheses)
protocol_names = _completer(_protocols)
declaration_names = _completer(_declarations)
run_names = _completer(_runs)
all_run_names = _completer(_all_runs)
"""Those of the store, and those that were adopted."""
_one_base = _completer(_bases)


def base_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the last of names with commas between."""
    before, comma, last = incomplete.rpartition(",")
    there = set(before.split(","))
    found = (item.value for item in _one_base(ctx, parameter, last))
    return [CompletionItem(f"{before}{comma}{name}") for name in found if name not in there]


def run_names_or_files(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete runs, adopted ones among them, where any begins so, else files."""
    return all_run_names(ctx, parameter, incomplete) or [CompletionItem(incomplete, type="file")]
