"""Serve: the champion of a pipeline over HTTP, until Ctrl-C. It loads new champions, and correctors learn from labels."""

from __future__ import annotations

import errno
import gc
import resource
import socket
import sys
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from nightloop.tasks.plan.errors import ConflictError, PlanError
from nightloop.tasks.plan.safe_text import safe_text

if TYPE_CHECKING:
    from nightloop.tasks.objects.objects import Objects
    from nightloop.tasks.plan.settings import Settings


def serve(
    plan: Annotated[
        str,
        typer.Argument(help="Name of a plan (name@... is the plan as it was deployed), or the path of a YAML file."),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8080,
    server: Annotated[
        str, typer.Option(help="Name under which the state of the correctors is kept; one server a name.")
    ] = "server",
    refresh: Annotated[float, typer.Option(help="Seconds between checks for a new champion.", min=0.1)] = 5.0,
    threads: Annotated[int, typer.Option(help="Threads of one prediction.", min=1)] = 1,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A name under which clients call it, or *.example.com; IP addresses and localhost always may."
        ),
    ] = None,
) -> None:
    """Serve the champion over HTTP: /score, /recommend, /observe, /health, /metrics; Ctrl-C stops it.

    With NIGHTLOOP_SERVE_TOKEN set, all but /health want the header authorization: Bearer TOKEN.
    """
    import torch

    from nightloop.tasks.objects.key_names import bucket_of
    from nightloop.tasks.plan.plan import Calendar
    from nightloop.tasks.plan.settings import Settings
    from nightloop.tasks.resources import read
    from nightloop.tasks.serving.predictor import Predictor
    from nightloop.tasks.serving.record_copies import RecordCopies
    from nightloop.tasks.serving.serving_log import ServingLog
    from nightloop.tasks.serving.snapshot import snapshot_key

    try:
        import uvicorn

        from nightloop.tasks.http_service.access import checked_host, checked_token, is_loopback
        from nightloop.tasks.http_service.app import ServiceContext, service
        from nightloop.tasks.http_service.connections import BoundedProtocol, ConnectionLimits
    except ImportError as error:
        raise ConflictError(f"serving needs {error.name}: pip install 'nightloop[serve]'") from error
    torch.set_num_threads(threads)  # requests run in parallel; if each used all cores they would wait for each other
    settings, loaded_plan = Settings(), read(plan)
    token, hosts = checked_token(settings.serve_token.get_secret_value()), [*map(checked_host, allow_host or ())]
    snapshot_key(loaded_plan.pipeline, server)  # raises if the name is not valid
    listening = _open_socket(host, port)  # before what the server of that port learned is read, and written again
    objects = _open_store(settings)
    predictor = Predictor.open(objects, loaded_plan.pipeline)
    zone = ZoneInfo(loaded_plan.periods.timezone if isinstance(loaded_plan.periods, Calendar) else "UTC")
    folder = settings.home / "served" / loaded_plan.pipeline
    records = ServingLog(folder, predictor.now.plan, int(settings.records))
    copies = RecordCopies(objects, loaded_plan.pipeline, folder) if bucket_of(settings.store_place) else None
    context = ServiceContext(
        predictor, loaded_plan.pipeline, lambda: datetime.now(zone), records, copies, server, refresh
    )
    sys.stderr.write(
        f"{predictor.now.name} of {loaded_plan.pipeline} serves at http://{host}:{listening.getsockname()[1]} "
        "(what it answers: /openapi.json)\n"
    )
    if not token and not is_loopback(host):
        sys.stderr.write(
            f"nightloop: warning: everyone who can reach {host} can send requests and false labels: set NIGHTLOOP_SERVE_TOKEN, "
            "or listen at 127.0.0.1 behind a proxy that authenticates clients\n"
        )
    app = service(context, hosts=hosts, token=token)
    gc.collect()
    gc.freeze()  # objects that exist now stay: a collection over all of them would delay requests by 0.2 s
    gc.set_threshold(10_000, 50, 50)  # new objects are freed by reference counts: pages and rows hold no cycles
    # Idle connections are kept longer than the minute of common load balancers, so that none is closed during a request.
    protocol: Any = partial(BoundedProtocol, ConnectionLimits(_most_connections()))
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_keep_alive=75, timeout_graceful_shutdown=10,
        http=protocol, ws="none", proxy_headers=False,
    )  # fmt: skip
    with suppress(KeyboardInterrupt):  # the server has shut down cleanly, and raises the interrupt again
        uvicorn.Server(config).run(sockets=[listening])


def _open_store(settings: Settings) -> Objects:
    """The store. One that is full or read-only can still be served from."""
    from nightloop.tasks.objects.objects import open_for_reading
    from nightloop.tasks.resources import credentials, open_store

    try:
        return open_store(settings)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        sys.stderr.write(
            f"nightloop: warning: {safe_text(str(error))}. It serves meanwhile; what correctors learn cannot be saved\n"
        )
        return open_for_reading(settings, credentials(settings))


def _most_connections() -> int:
    """2,000, or fewer if the process may open few files; records need some too."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 2_000 if files == resource.RLIM_INFINITY else max(min(2_000, files - 200), 10)


def _open_socket(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048
        )
    except OSError as error:
        raise PlanError(
            f"cannot listen at {host}, port {port}: {error.strerror}; choose another with --port"
        ) from error
