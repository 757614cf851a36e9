"""`harness completion`: the script that makes a shell complete commands, options and names."""

import click

from harness.cli.session import Session, output_options, pass_session

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@output_options
@pass_session
def command(session: Session, shell: str) -> int:
    r"""Print the script that completes `harness` in SHELL.

    \b
    bash  eval "$(harness completion bash)"            in ~/.bashrc (4.4 or newer)
    zsh   eval "$(harness completion zsh)"             in ~/.zshrc, below compinit
    fish  harness completion fish | source             in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from harness.cli.main import COMPLETE, cli

    kind = get_completion_class(shell)
    assert kind is not None, f"click completes in {shell}"
    script = kind(cli, {}, "harness", COMPLETE).source().rstrip("\n")
    session.emit({"shell": shell, "script": script}, script, as_is=True)
    return 0
