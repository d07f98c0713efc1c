"""gunicorn, and why each value is what it is. Read by `gunicorn wsgi:app` from the working directory."""

import gc
import mmap
import os
import resource
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

_METRICS_PREFIX = "holdfast-metrics-"
# One byte that the workers share with their master: 1 when the whole server ends. A worker alone cannot know: it gets
# the same SIGTERM when others take its place. The file is read anew at SIGHUP, and so the workers before it, which
# others replace, keep a byte of their own.
_leaving = mmap.mmap(-1, 1)

# Loopback unless told otherwise: what faces the network is a proxy that speaks TLS.
bind = os.environ.get("BIND") or "127.0.0.1:8000"
# A process uses one core. Two by default, so that one may die while the other serves.
workers = int(os.environ.get("WEB_CONCURRENCY") or 2)
# A request waits for Redis or Postgres nearly all its time: greenlets wait at next to no cost. The worker patches
# the standard library before it loads the application, and with it psycopg and redis-py. Ours is gunicorn's `gevent`
# with an end that loses no request and (`own`, the default) a shorter way for plain requests, an eighth of the cost;
# HTTP_WORKER=stock has gunicorn read and write them all.
_workers = {"own": "serving.worker.PlainWorker", "stock": "serving.draining.DrainingWorker"}
worker_class = _workers.get(os.environ.get("HTTP_WORKER") or "own") or sys.exit("HTTP_WORKER must be own or stock.")
# Connections per worker, idle ones included: twice MAX_IN_FLIGHT, so that requests are shed with a 503 that says so
# and not left in the kernel's queue.
worker_connections = 8000
# The strict parser. `auto` takes a laxer one in C where that is installed, and laxity is how requests are smuggled.
http_parser = "python"
# The application opens its pools after the fork: connections and locks must not be shared by two processes.
preload_app = False
# Seconds without a sign of life after which a worker is killed. It is the event loop that gives the sign, so a slow
# request does not count, only one that never yields.
timeout = 30
# Seconds from SIGTERM until a worker is killed: the longest DRAIN_SECONDS and then the longest request. A worker ends
# by itself as soon as nothing is in flight.
graceful_timeout = 75
# Seconds that an idle connection is kept, within which a request's head must arrive, and (own worker) its answer be
# taken: longer than the 60 s of common load balancers, so that it is they who close.
keepalive = 75
# Bytes and fields of a request's head. A token of 4 KiB fits; more is an attack.
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
# `X_User_ID` must not pass for `X-User-ID`, which the gateway sets: fields with underscores are dropped.
header_map = "drop"
# Its path would be one per user, for every checkout on the machine; signals do what it offers.
control_socket_disable = True
# The application logs each request itself, with its id and what became of it.
accesslog = None
errorlog = "-"
# The heartbeat is a file: on a disk that stalls a healthy worker would be killed.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None


def on_starting(server: Any) -> None:
    """In the master, once: settings that cannot be used end here, not in workers that die one after the other."""
    from app.observability import configure_logging
    from app.settings import BadSetting, Settings

    try:
        settings = Settings.from_environment()
    except BadSetting as bad:
        print(bad, file=sys.stderr)
        sys.exit(1)
    configure_logging(settings.log_level, settings.log_format, settings.secrets())
    _admit_as_many_files_as_connections()
    _prepare_metrics()


def when_ready(server: Any) -> None:
    """In the master, once it listens and has its signal handlers."""
    _notice_the_end(server)


def on_reload(server: Any) -> None:
    """In the master at SIGHUP, before new workers replace the old ones."""
    _notice_the_end(server)


def _notice_the_end(server: Any) -> None:
    """At SIGTERM `/readyz` turns 503 before anything else happens, unless a master made by SIGUSR2 takes over."""

    def terminate(number: int, frame: Any) -> None:
        _leaving[0] = server.reexec_pid == 0
        server.signal(number, frame)

    signal.signal(signal.SIGTERM, terminate)


def _prepare_metrics() -> None:
    """Gives the workers a directory to add their measurements up in. One given from outside is emptied, and stays."""
    given = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    # After SIGUSR2 the new master inherits the directory of the old one, which is still in use.
    if given is None or Path(given).name.startswith(_METRICS_PREFIX):
        _remove_left_over_metrics()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix=f"{_METRICS_PREFIX}{os.getpid()}-")
        return
    Path(given).mkdir(parents=True, exist_ok=True)
    for left_over in Path(given).glob("*.db"):
        left_over.unlink()


def _remove_left_over_metrics() -> None:
    """Of masters that were killed before they could clean up; each directory names the master that made it."""
    for left_over in Path(tempfile.gettempdir()).glob(f"{_METRICS_PREFIX}*-*"):
        master = left_over.name.removeprefix(_METRICS_PREFIX).partition("-")[0]
        if not Path("/proc", master).exists():
            shutil.rmtree(left_over, ignore_errors=True)


def _admit_as_many_files_as_connections() -> None:
    """Shells give 1024 open files by default, and each connection is one. The workers inherit what is set here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = worker_connections + 1024
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def post_worker_init(worker: Any) -> None:
    """After the fork and with the application loaded: open pools now, so that the first request finds them open."""
    from app.api import leaving

    leaving.tell(worker.wsgi, lambda: bool(_leaving[0]))
    worker.wsgi.extensions["holdfast.start"]()
    spare_what_is_loaded()


def spare_what_is_loaded() -> None:
    """What the application consists of, a hundred thousand objects, is no garbage and never will be: to look at all of
    it stops the loop for some fifty milliseconds, and would happen under load. Frozen, it is passed over."""
    gc.collect()
    gc.freeze()
    # A request leaves next to nothing that only the collector can free: to look at every 700th object is in vain.
    gc.set_threshold(10_000, 20, 50)


def worker_exit(server: Any, worker: Any) -> None:
    """Also called where the application could not be loaded."""
    application = getattr(worker, "wsgi", None)
    if application is not None:
        application.extensions["holdfast"].close()


def child_exit(server: Any, worker: Any) -> None:
    """In the master: gauges of a worker that is gone count no longer."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    directory = Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""))
    if directory.name.startswith(f"{_METRICS_PREFIX}{os.getpid()}-"):  # ours, and not given from outside
        shutil.rmtree(directory, ignore_errors=True)
