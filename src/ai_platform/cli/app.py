"""The command line's root: the list of commands, and how a refusal is shown."""

import sys

import typer
from rich.console import Console

from ai_platform.errors import PlatformError

app = typer.Typer(
    name="ai-platform",
    help="A self-hosted machine-learning prediction platform.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run one command; a fact that stops it is one sentence on standard error and exit status 1."""
    try:
        app()
    except PlatformError as error:
        Console(stderr=True).print(f"[bold red]ai-platform:[/] {error.detail}", highlight=False, soft_wrap=True)
        sys.exit(1)
