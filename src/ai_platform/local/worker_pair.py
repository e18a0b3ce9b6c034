"""`worker --with-sweeper`: Celery's worker and the sweeper beside it, for a container, where both share one life."""

import sys
from dataclasses import replace

from ai_platform.local import commands
from ai_platform.processes.output import Output
from ai_platform.processes.programs import Role
from ai_platform.processes.supervisor import Supervisor
from ai_platform.settings import Settings
from ai_platform.telemetry import configure_logging, logger

log = logger(__name__)

# The sweeper sends heartbeats for the jobs that the worker still finishes, so it ends last.
STOP_ORDER: tuple[frozenset[Role], ...] = (frozenset(("worker",)), frozenset(("sweeper",)))
STOP_MARGIN_SECONDS = 10.0


def run_pair(settings: Settings) -> None:
    """Keep a worker and a sweeper running until a signal asks for the end; the worker finishes what it has begun.

    Raises:
        StackError: the system refuses to start one of them.
    """
    configure_logging(settings.log, "worker")
    variables = commands.environment(settings, None, None)
    worker = replace(
        commands.worker(variables, settings),
        ready=lambda _: True,
        stop_seconds=settings.jobs.hard_limit_seconds + STOP_MARGIN_SECONDS,
    )
    with Supervisor(_Lines(sys.stdout.fileno(), colour=False), lambda _: None, STOP_ORDER) as supervisor:
        supervisor.start(commands.sweeper(variables))
        supervisor.start(worker)
        supervisor.watch()
        log.info("stopping; running jobs are finished first")


class _Lines(Output):
    """The children's lines as they are, since each names its service; the supervisor's own as an event."""

    def line(self, role: Role, text: str) -> None:
        """Show a line of one process."""
        if role == "up":
            log.warning(text)
        else:
            self.say(text)
