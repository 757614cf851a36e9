"""`harness doctor`: what works on this machine, and which protocols it can run."""

from dataclasses import asdict

import click

from harness.campaign.ability import Ability, ability
from harness.campaign.bench import Bench
from harness.campaign.filesystem import Check
from harness.campaign.machine import checks, look
from harness.cli.names import protocol_names
from harness.cli.session import Session, output_options, pass_session
from harness.spec import DeclarationError

MACHINE = 4


@click.command()
@click.option(
    "--protocol",
    metavar="NAME",
    shell_complete=protocol_names,
    help="Look at this protocol only; exit 4 where it cannot run here.",
)
@click.option("--device", is_flag=True, help="Ask torch which GPUs it sees, which takes some seconds.")
@output_options
@pass_session
def command(session: Session, protocol: str | None, device: bool) -> int:
    """Look at this machine (packages, memory, GPUs, disk, engines, Hub) and at what each protocol wants of it."""
    names = [protocol] if protocol else session.shelf.names("runs")
    found: dict[str, Ability] = {}
    machine = look(torch=device)
    for name in names:
        try:
            declared = Bench(session.shelf, session.store, name).protocol
        except DeclarationError as error:
            if protocol:
                raise
            session.note(f"{name}: {error.lines[0]}")
            continue
        found[name] = ability(declared, name, machine)
    seen = list(checks(session.store.root, machine, session.shelf))
    said = {name: {"able": one.able, "missing": one.missing, "notes": one.notes} for name, one in found.items()}
    session.emit({"checks": [asdict(check) for check in seen], "protocols": said}, _text(seen, found))
    needed = ("store", "exchange", session.shelf.settings.get("executor"))  # without these no run is executed
    lacking = any(check.ok is False for check in seen if check.name in needed)
    return MACHINE if protocol and (lacking or not found[protocol].able) else 0


def _text(seen: list[Check], found: dict[str, Ability]) -> str:
    marks = {True: "ok", False: "NO", None: "  "}
    lines = [f"{marks[check.ok]}  {check.name:<9} {check.said}" for check in seen]
    for name, one in found.items():
        lines.append(f"{marks[one.able]}  protocol  {name}{'' if one.able else ' cannot run here'}")
        lines += [f"                {line}" for line in (*one.missing, *one.notes)]
    return "\n".join(lines)
