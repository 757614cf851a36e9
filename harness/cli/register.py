"""`harness register`: freeze declarations before their data, or amend them with a reason.

A declaration that differs from the registered one is told and exits 3; nothing is overwritten. The exit is 2 where an
amendment has nothing to amend.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from harness.campaign.bench import Bench
from harness.cli.campaign import pin
from harness.cli.names import hypothesis_names
from harness.cli.session import Session, output_options, pass_session, protocol_option
from harness.plan import registration_hash
from harness.record.registration import Registration
from harness.spec import Hypothesis

CHANGED = 3
SHORTEST_REASON = 10


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=hypothesis_names)
@protocol_option
@click.option("--amend", is_flag=True, help="Register a changed declaration anew; the one before stays as it is.")
@click.option("--reason", metavar="TEXT", help=f"Why it was amended, in {SHORTEST_REASON} characters or more.")
@output_options
@pass_session
def command(session: Session, names: tuple[str, ...], protocol: str | None, amend: bool, reason: str | None) -> int:
    """Freeze the claims NAME (all valid ones without one) as they are declared now.

    `test` and `run` do so by themselves. An amendment has fresh seeds if runs under the one before have begun.
    """
    why = _reason(reason, amend, names)
    bench = Bench(session.shelf, session.store, session.protocol_name(protocol))
    pin(session, bench)
    hypotheses = bench.hypotheses(tuple(dict.fromkeys(names))) if names else _valid(session, bench)
    in_force = bench.register(hypotheses) if why is None else bench.amend(hypotheses, why)
    said = [_said(registration, hypotheses, bench) for registration in in_force.values()]
    text = "\n".join(line for one in said for line in _lines(one)) or "no valid claim is in reach"
    session.emit({"registrations": said}, text)
    return CHANGED if any(one["changed"] for one in said) else 0


def _reason(reason: str | None, amend: bool, names: tuple[str, ...]) -> str | None:
    """Return the reason of an amendment in one line, or None without --amend; raise UsageError where they clash."""
    if not amend:
        if reason is not None:
            raise click.UsageError("--reason belongs to --amend. Add --amend, or leave the reason out.")
        return None
    if not names:
        raise click.UsageError("--amend needs the NAME of what is amended. Name one or more claims.")
    said = " ".join((reason or "").split())
    if len(said) < SHORTEST_REASON or not said.isprintable():
        rule = f"an amendment says why, in {SHORTEST_REASON} printable characters or more"
        raise click.UsageError(f"--reason {said!r}: {rule}. Say what was wrong with the declaration before.")
    return said


def _valid(session: Session, bench: Bench) -> Mapping[str, Hypothesis]:
    valid = bench.valid()
    for name in session.shelf.names("hypotheses"):
        if name not in valid:
            session.note(f"{name}: mistaken under protocol {bench.protocol_name}, not registered (harness validate)")
    return valid


def _said(registration: Registration, hypotheses: Mapping[str, Hypothesis], bench: Bench) -> dict[str, Any]:
    now = registration_hash(hypotheses[registration.hypothesis], bench.protocol)
    return {
        "hypothesis": registration.hypothesis,
        "protocol": registration.protocol,
        "hash": registration.hash,
        "number": registration.number,
        "block": registration.block,
        "registered_at": datetime.fromtimestamp(registration.registered_at, UTC).isoformat(timespec="seconds"),
        "reason": registration.reason,
        "changed": registration.hash != now,
    }


def _lines(said: Mapping[str, Any]) -> list[str]:
    reason = f"  amended: {said['reason']}" if said["reason"] else ""
    when = f"{said['registered_at']}{reason}"
    name = said["hypothesis"]
    lines = [f"{name}  {said['hash'][:12]}  registration {said['number']}  seeds {said['block']}  {when}"]
    if said["changed"]:
        rule = "declaration or protocol changed since; the registration stays in force"
        lines.append(f"{name}: {rule}. Undo the change, or `harness register {name} --amend --reason TEXT`.")
    return lines
