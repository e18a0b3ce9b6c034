"""uvicorn, as this platform runs it: one process, or several on one port."""

import contextlib
import resource
import signal

import uvicorn

from ai_platform import failpoints
from ai_platform.access.bind_policy import require_protected
from ai_platform.api.app import create
from ai_platform.api.draining import DrainingServer, Lifecycle, Word
from ai_platform.api.server.arbiter import Arbiter
from ai_platform.api.server.listening import listen
from ai_platform.api.server.protocol import bounded
from ai_platform.api.server.sharing import Counts, SharingServer
from ai_platform.api.server.workers import ORDERS, Assignment
from ai_platform.api.shared_metrics import take_number, unshare
from ai_platform.settings import Settings
from ai_platform.telemetry import API_PROCESSES, configure_logging, logger

log = logger(__name__)

# Connections to PostgreSQL and Redis, libraries, logs, model files.
OTHER_FILES = 512
# The first processes of a shared port become able at about the same time; one that did so first must not leave half of
# the callers to another that still refuses. Without a database none becomes able, and then they say so.
FIRST_SECONDS = 5.0


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; `DrainingServer` says how a process ends, and `Arbiter` how several are kept.

    Raises:
        InvalidSettings: without authentication, it would answer to other machines.
        StackError: several processes cannot be started, or not on that address.
    """
    require_protected(settings)
    configure_logging(settings.log, "api")
    failpoints.configure(settings.failpoints_dir)
    settings = _within_files(settings)
    with contextlib.suppress(KeyboardInterrupt):
        if settings.api.processes == 1:
            server(settings).run()
        else:
            _run_several(settings)


def server(settings: Settings) -> DrainingServer:
    """The server of a process that is alone on its port, with the application in it."""
    lifecycle = Lifecycle()
    return SharingServer(configuration(settings, lifecycle), lifecycle, settings.api, _show, Counts(1), 0)


def _run_several(settings: Settings) -> None:
    api = settings.api
    lifecycle = Lifecycle()
    assignment = None
    try:
        sockets = listen(api.host, api.port)
        log.info("listening", addresses=[made.getsockname()[:2] for made in sockets], processes=api.processes)
        arbiter = Arbiter(api.processes, api.shutdown_delay_seconds + api.drain_seconds, sockets)
        assignment = arbiter.run()
    finally:
        if assignment is None:
            unshare()
    if assignment is None:
        assert arbiter.ended_by is not None
        signal.raise_signal(arbiter.ended_by)
        return
    take_number(assignment.number)
    own = configuration(settings, lifecycle)
    lifecycle.patience = settings.models.load_seconds if assignment.successor else FIRST_SECONDS
    child = SharingServer(own, lifecycle, api, lambda word: _tell(assignment, word), arbiter.counts, assignment.number)
    for order in ORDERS:
        signal.signal(order, child.handle_exit)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ORDERS)
    child.run(sockets)


def _tell(assignment: Assignment, word: Word) -> None:
    _show(word)
    assignment.tell(word)


def _show(word: Word) -> None:
    API_PROCESSES.set(1 if word == "serving" else 0)


def _within_files(settings: Settings) -> Settings:
    """Each connection is an open file, of which a shell usually allows 1,024 and the system many more.

    Connections for which there are no files would not be refused but wait, the health checks among them.
    """
    wanted = settings.limits.connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most == wanted:
        return settings
    connections = max(1, most - OTHER_FILES)
    log.warning("the system allows fewer open files than limits.connections asks for", connections=connections)
    return settings.model_copy(update={"limits": settings.limits.model_copy(update={"connections": connections})})


def configuration(settings: Settings, lifecycle: Lifecycle) -> uvicorn.Config:
    """Uvicorn's configuration, with the application in it."""
    application = create(settings, lifecycle)
    return uvicorn.Config(
        application.app,
        host=settings.api.host,
        port=settings.api.port,
        loop="uvloop",
        http=bounded(settings.limits, application.fast_path, lifecycle),
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(settings.api.trusted_proxies),
        forwarded_allow_ips=settings.api.trusted_proxies,
        timeout_keep_alive=settings.api.keep_alive_seconds,  # type: ignore[arg-type]  # a number of seconds
        lifespan="on",
    )
