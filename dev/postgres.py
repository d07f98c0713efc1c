"""A real PostgreSQL of our own, on loopback only."""

import hashlib
import secrets
import shutil
import signal
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from dev import accounts, ports, steps
from dev.accounts import Account
from dev.errors import DevError
from dev.process import Process

USER = "holdfast"
DATABASE = "holdfast"
_INITDB_TIMEOUT_S = 60.0
_CONNECT_TIMEOUT_S = 2  # libpq's least
# Where the data goes when the server's user may not enter the checkout (a clone in /root, say).
_ELSEWHERE = Path("/var/lib/holdfast-dev")

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",  # several test databases, pools of several processes each
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d ",
    "log_lock_waits": "on",
    "synchronous_commit": "on",  # a confirm is durable before its 200, here too
}


class Postgres(Process):
    """PostgreSQL with a data directory, a password and a port of its own; superuser `holdfast`."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": sessions are ended, what is committed stays

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._account = accounts.unprivileged()

    # --- addresses ---

    @property
    def port(self) -> int:
        """Raises DevError before the first start."""
        port = ports.remembered(self._port_file)
        if port is None:
            raise DevError(f"PostgreSQL was never started in {self.directory}.")
        return port

    def url(self, database: str = DATABASE) -> str:
        """postgresql://... of one of its databases, password included. Raises DevError before the first start."""
        password = self._password_file.read_text().strip() if self._password_file.exists() else ""
        return f"postgresql://{USER}:{quote(password)}@127.0.0.1:{self.port}/{database}"

    # --- databases ---

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create it unless it exists, as a copy of the template if one is named; returns its URL.

        Nobody may be connected to the template meanwhile.
        """
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
                if template is not None:
                    statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
                connection.execute(statement)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop it if it exists, ending the sessions in it."""
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    # --- the process ---

    def account(self) -> Account | None:
        return self._account

    def command(self) -> list[str]:
        settings = SETTINGS | {"port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._program("postgres")), "-D", str(self._data.resolve()), *options]

    def environment(self) -> dict[str, str]:
        # Nothing of ours: PGHOST and its like in a developer's shell must not leak into the server.
        return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}

    def prepare(self) -> None:
        if self._account is not None:
            self.directory.chmod(0o711)  # entered, not listed, by the server's user
        ports.settle(self._port_file)
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        self._forget_dead_postmaster()

    def erase(self) -> None:
        self.stop()
        if self._data.is_symlink():
            shutil.rmtree(self._data.resolve(), ignore_errors=True)
        super().erase()

    def ready(self) -> bool:
        try:
            with psycopg.connect(self.url("postgres"), connect_timeout=_CONNECT_TIMEOUT_S) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    # --- inside ---

    @property
    def _port_file(self) -> Path:
        return self.directory / "port"

    @property
    def _password_file(self) -> Path:
        return self.directory / "password"

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _program(self, name: str) -> Path:
        """Debian keeps the servers off the PATH, one directory a major version; data belongs to one of them."""
        version = self._data / "PG_VERSION"
        wanted = version.read_text().strip() if version.exists() else "*"
        found = sorted(Path("/usr/lib/postgresql").glob(f"{wanted}/bin/{name}"), key=lambda path: int(path.parts[4]))
        program = str(found[-1]) if found else shutil.which(name)
        if program is None:
            raise DevError(f"PostgreSQL's `{name}` {'' if wanted == '*' else f'of version {wanted} '}is not installed.")
        return Path(program)

    def _initialise(self) -> None:
        """initdb, in a place that the server's user can reach."""
        data = self._place()
        password = secrets.token_urlsafe(24)
        note = data.parent / f"{data.name}.password"
        note.touch(mode=0o600)
        note.write_text(password)
        if self._account is not None:
            shutil.chown(note, self._account.uid, self._account.gid)
        try:
            steps.run(
                [
                    str(self._program("initdb")),
                    "--pgdata",
                    str(data),
                    "--username",
                    USER,
                    "--pwfile",
                    str(note),
                    "--auth",
                    "scram-sha-256",
                    "--encoding",
                    "UTF8",
                    "--locale",
                    "C.UTF-8",
                    "--no-instructions",
                ],
                log=self.directory / "initdb.log",
                timeout_s=_INITDB_TIMEOUT_S,
                cwd=Path("/"),
                environment=self.environment(),
                account=self._account,
            )
        except DevError:
            shutil.rmtree(data, ignore_errors=True)  # half a cluster must not pass for a whole one
            raise
        finally:
            note.unlink()
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(f"{password}\n")

    def _place(self) -> Path:
        """An empty private directory for the data: here, or elsewhere with a link here."""
        if self._data.is_symlink():
            self._data.unlink()
        if self._account is None or self._account.can_enter(self.directory):
            data = self._data
        else:
            data = _ELSEWHERE / hashlib.sha256(str(self.directory).encode()).hexdigest()[:16]
            _ELSEWHERE.mkdir(mode=0o711, exist_ok=True)
            self._data.symlink_to(data)
        shutil.rmtree(data, ignore_errors=True)
        accounts.private_directory(data, self._account)
        return data

    def _forget_dead_postmaster(self) -> None:
        """After kill -9, PostgreSQL does not start if an unrelated process was given the old server's pid."""
        lock = self._data / "postmaster.pid"
        try:
            pid = int(lock.read_text().split("\n", 1)[0])
            if psutil.Process(pid).name().startswith("postgres"):
                return  # it may be a live server on this data: let PostgreSQL refuse
        except (FileNotFoundError, ValueError):
            return
        except psutil.NoSuchProcess:
            pass
        lock.unlink(missing_ok=True)
