"""`harness pilot`: run the protocol's pilot and apply the rule that it declares."""

from dataclasses import asdict

import click

from harness.campaign.bench import Bench
from harness.campaign.engines import Engine
from harness.cli.campaign import FAILED, executor, pin
from harness.cli.session import Session, engine_option, output_options, pass_session, protocol_option, workers_option


@click.command()
@protocol_option
@workers_option
@engine_option
@output_options
@pass_session
def command(session: Session, protocol: str | None, workers: int | None, engine: Engine) -> int:
    """Run the protocol's pilot, on a base, a split and seeds of its own, and print what its rule chooses."""
    from harness.campaign.pilot import RuleFailed, run_pilot
    from harness.publish.pilot import pilot_table
    from harness.publish.progress import ShownProgress

    bench = Bench(session.shelf, session.store, session.protocol_name(protocol))
    pin(session, bench)  # the protocol's mistakes are told before any folder is made
    bench.store.pilot(bench.protocol_name).make()
    try:
        with ShownProgress(quiet=session.quiet) as shown:
            choice = run_pilot(bench, lambda: executor(session, bench, engine, workers), shown.show)
    except (RuleFailed, RuntimeError) as error:
        click.echo(f"pilot of {bench.protocol_name}: {error}", err=True)
        return FAILED
    session.emit({**asdict(choice), "agrees": choice.agrees}, pilot_table(choice, bench.protocol.pilot.in_words()))
    return 0
