"""Runs scripts: one connection that all greenlets share, or a bounded pool for threads; short timeouts, no repeat of
what may have been done already.

Each connection asks its server for its `run_id` once, when it connects: a script is told which server process its
caller believes to be talking to (rule 3.6).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, cast

from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.connection import BlockingConnectionPool
from redis.retry import Retry

from app.domain.errors import Refusal, refusal
from app.stores.breaker import Breaker
from app.stores.pipe import Pipe, QueueFull
from app.stores.scripts import Script, script

# Errors by which a server says "not now". Any other error reply is a bug of ours.
_NOT_NOW = (
    *("BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "TRYAGAIN"),
    "READONLY",  # a replica: it may have been the master when the connection was made
)
_KNOWN_NOT_NOW = (
    redis_errors.ReadOnlyError,
    redis_errors.OutOfMemoryError,
    redis_errors.ClusterDownError,  # and with it MASTERDOWN
    redis_errors.TryAgainError,
)
_IN_A_SCRIPT = "@user_script"
# Errors that say that no answer came.
_SILENCE = (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)


class ScriptFailed(Exception):
    """A script has stopped in the middle of it: it is wrong, or what it has read is."""


class _Identified:
    """Mixed into redis-py's connection: knows the server process at the other end."""

    run_id = ""
    age = 0
    """How often its pool had been renewed when it was made."""
    age_now: Callable[[], int]

    def on_connect_check_health(self, check_health: bool = True) -> None:
        connection: Any = self
        super().on_connect_check_health(check_health)  # type: ignore[misc]
        self.age = connection.age_now()
        connection.send_command("INFO", "server", check_health=False)
        fields = dict(line.partition(":")[::2] for line in str(connection.read_response()).splitlines())
        self.run_id = fields["run_id"]


class Redis:
    """One Redis, seen as a runner of scripts. Safe for threads and greenlets; connects when first used.

    `timeout_s` bounds connecting, each reply and the wait for a free connection, seconds each; `time_limit`, which
    raises `TimeoutError` after so many seconds, bounds them together. `breaker` spares the wait for a silent server.

    `calls_max`: where all callers are greenlets of one thread, so many at once share one connection for scripts
    (app/stores/pipe.py). 0: they take connections from the pool, as plain commands always do, and over TLS scripts."""

    def __init__(
        self,
        url: str,
        pool_size: int,
        timeout_s: float,
        breaker: Breaker,
        time_limit: Callable[[float], AbstractContextManager[Any]] = lambda seconds: nullcontext(),
        calls_max: int = 0,
    ) -> None:
        self._breaker = breaker
        self._age = 0
        shared = calls_max and not url.startswith("rediss://")
        self._pipe = Pipe(self._connect, timeout_s, calls_max) if shared else None
        self._limit = partial(time_limit, timeout_s)
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=pool_size,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            decode_responses=True,
            protocol=2,
            retry=Retry(NoBackoff(), 0),  # a write that timed out may have happened: never repeated blindly
        )
        identified = {"age_now": lambda _: self._age}
        pool.connection_class = type("IdentifiedConnection", (_Identified, pool.connection_class), identified)
        self._pool: Any = pool  # redis-py has no types for what is below a client

    def run(self, name: str, key: str, arguments: Callable[[str], Sequence[str | int | bytes]]) -> list[Any]:
        """Runs script `name` on `key`; `arguments` makes its ARGV from the server's run_id.

        Raises `SERVICE_UNAVAILABLE` if Redis cannot be reached, cannot answer now or does not answer in time. In the
        last case the script may have run: the outcome is not known. Raises `ScriptFailed`; what it had done by then is
        done."""
        wanted = script(name)
        try:
            if self._pipe is not None:
                return self._run_through(self._pipe, wanted, key, arguments)
            return self._run_pooled(wanted, key, arguments)
        except redis_errors.ResponseError as error:
            if _IN_A_SCRIPT not in str(error):
                raise
            raise ScriptFailed(f"{name}.lua: {error}") from error

    def command(self, *words: str | int | bytes) -> Any:
        """Runs one plain command. Raises `SERVICE_UNAVAILABLE` as `run` does."""
        with self._connection() as connection:
            connection.send_command(*words)
            return connection.read_response()

    def pipeline(self, commands: Sequence[Sequence[str | int | bytes]], raw: bool = False) -> list[Any]:
        """Runs plain commands in one round trip; answers all replies, as bytes if `raw`.
        Raises `SERVICE_UNAVAILABLE` as `run` does."""
        with self._connection() as connection:
            connection.send_packed_command(connection.pack_commands(commands))
            replies, errors = [], []
            for _ in commands:  # all, also behind an error: what is left unread would be taken for another's answer
                try:
                    replies.append(connection.read_response(disable_decoding=raw))
                except redis_errors.ResponseError as error:
                    errors.append(error)
            if errors:
                raise errors[0]
            return replies

    def run_id(self) -> str:
        """The server process at the other end of a connection, alive now. Raises `SERVICE_UNAVAILABLE`."""
        with self._connection() as connection:
            connection.send_command("PING")  # what the connection knows says nothing of a server that has hung since
            connection.read_response()
            return cast(str, connection.run_id)

    def renew(self) -> None:
        """Has each connection made anew before its next use: by now the address may lead to another server than the one
        that it was made to, which lives on and knows nothing of that."""
        self._age += 1
        if self._pipe is not None:
            self._pipe.renew()

    def close(self) -> None:
        """Closes every connection."""
        if self._pipe is not None:
            self._pipe.close()
        self._pool.disconnect()

    def _connect(self) -> Any:
        """A connection beside the pool."""
        with self._limit():
            connection = self._pool.connection_class(**self._pool.connection_kwargs)
            connection.connect()
            return connection

    def _run_pooled(
        self, wanted: Script, key: str, arguments: Callable[[str], Sequence[str | int | bytes]]
    ) -> list[Any]:
        with self._connection() as connection:
            argv = arguments(connection.run_id)
            try:
                connection.send_command("EVALSHA", wanted.sha, 1, key, *argv)
                return cast(list[Any], connection.read_response())
            except redis_errors.NoScriptError:  # not run: the server has not seen it, or was told to forget
                connection.send_command("EVAL", wanted.text, 1, key, *argv)
                return cast(list[Any], connection.read_response())

    def _run_through(
        self, pipe: Pipe, wanted: Script, key: str, arguments: Callable[[str], Sequence[str | int | bytes]]
    ) -> list[Any]:
        self._breaker.admit()
        try:
            answer = pipe.run(wanted, key, arguments)
        except _SILENCE as error:
            self._breaker.failed()
            raise _unavailable(error) from error
        except redis_errors.ResponseError as error:
            self._breaker.succeeded()
            if str(error).startswith("READONLY"):
                pipe.renew()
            if str(error).startswith(_NOT_NOW):
                raise _unavailable(error) from error
            raise
        except QueueFull as error:
            raise refusal("SERVICE_UNAVAILABLE", "Too many calls wait for Redis: nothing was done") from error
        self._breaker.succeeded()
        return cast(list[Any], answer)

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        connection: Any = None
        try:
            with self._breaker.watching(_is_silence), self._limit():
                connection = self._pool.get_connection()
                if connection.age != self._age:
                    connection.disconnect()
                    connection.connect()
                yield connection
        except _SILENCE as error:
            if connection is not None:
                connection.disconnect()  # its reply may still come: not to be taken for that of another call
            raise _unavailable(error) from error
        except redis_errors.ResponseError as error:
            if isinstance(error, redis_errors.ReadOnlyError):
                connection.disconnect()  # a replica: it may have been the master when the connection was made
            # redis-py takes the code off the text of the errors that it knows.
            if str(error).startswith(_NOT_NOW) or isinstance(error, _KNOWN_NOT_NOW):
                raise _unavailable(error) from error
            raise
        finally:
            if connection is not None:
                self._pool.release(connection)


def _is_silence(error: Exception) -> bool:
    return isinstance(error, _SILENCE)


def _unavailable(error: Exception) -> Refusal:
    return refusal("SERVICE_UNAVAILABLE", f"Redis cannot answer now ({type(error).__name__})")
