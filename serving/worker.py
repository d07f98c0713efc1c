"""gunicorn's gevent worker with a shorter way for plain requests. Only gunicorn loads this module.

A connection is ours for as long as its requests are plain (`serving.plain`). From the first one on that is not, it is
the stock worker's, which is given what we have read of that request as if nobody had read it. So is, from its first
byte, every connection under a configuration that we do not know: TLS, HTTP/2, Unix sockets, the PROXY protocol, hooks
around requests.
"""

import errno
import os
import time
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import gevent
from gunicorn.config import PostRequest, PreRequest
from gunicorn.glogging import Logger
from gunicorn.http.message import HeaderPolicy
from gunicorn.http.wsgi import FileWrapper, WSGIErrorsWrapper, _make_early_hints_callback, base_environ
from gunicorn.util import close

from serving.answer import Answer
from serving.connection import Connection, Limits, Rewound
from serving.draining import DrainingWorker, Waiting
from serving.plain import PlainRequest
from serving.turn import ENVIRON_KEY, Turn

_SWEEP_S: Final = 1.0
"""Between two looks for connections that have been silent for too long: by as much at most they are closed late."""
_HEAD_BYTES: Final = 8190
"""Of a plain head. gunicorn limits each line and field: a head that is smaller than either limit breaks neither."""
_GONE: Final = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)


class PlainWorker(DrainingWorker):
    alive: bool  # until it is told to end

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self._connections: set[Connection] = set()

    def run(self) -> None:
        sweeper = gevent.spawn(self._sweep)
        try:
            super().run()
        finally:
            sweeper.kill()

    def handle(self, listener: Any, client: Any, address: Any) -> None:
        """One connection, from its first request to its last."""
        if not self._knows_its_configuration or not isinstance(address, tuple):
            super().handle(listener, client, address)
            return
        unread = self._serve_plain(listener, client, address)
        if unread is None:
            close(client)
        else:
            super().handle(listener, Rewound(client, unread), address)

    @cached_property
    def _knows_its_configuration(self) -> bool:
        cfg = self.cfg
        return (
            not cfg.is_ssl
            and cfg.keepalive > 0
            and cfg.protocol == "http"
            and cfg.proxy_protocol == "off"
            and cfg.http2_cleartext == "off"
            and cfg.pre_request is PreRequest.default
            and cfg.post_request is PostRequest.default
            and not os.environ.get("SCRIPT_NAME")
        )

    @cached_property
    def _turn(self) -> Turn:
        return Turn(gevent.get_hub())

    @cached_property
    def _limits(self) -> Limits:
        sizes = (self.cfg.limit_request_line, self.cfg.limit_request_field_size, _HEAD_BYTES)
        return Limits(min(size for size in sizes if size > 0), self.cfg.limit_request_fields)

    @cached_property
    def _logs_access(self) -> bool:
        return type(self.log).access is not Logger.access or self.log.access_log_enabled

    def _serve_plain(self, listener: Any, client: Any, address: tuple[Any, ...]) -> bytes | None:
        """What was read from the first request on that is not plain; None when the connection is over."""
        client.settimeout(self.cfg.keepalive)  # also for a client that does not take its answer
        environ, schemes = self._environ(listener, client, address), self._schemes(address)
        connection = Connection(client, environ, schemes, self._limits, self._turn)
        greenlet = gevent.getcurrent()
        self._clients[greenlet] = client
        self._connections.add(connection)
        try:
            return connection.serve(self._answer, self.timeout_ctx)
        except TimeoutError:
            self.log.warning("Closing a connection that did not take its answer within %d s.", self.cfg.keepalive)
        except OSError as error:
            if error.errno not in _GONE:
                self.log.exception("Socket error processing request.")
        except (gevent.GreenletExit, SystemExit, StopIteration):  # as in the stock worker, no error of the request
            pass
        except BaseException as error:
            self.handle_error(connection.request, client, address, error)
        finally:
            self._connections.discard(connection)
            del self._clients[greenlet]
        return None

    def _environ(self, listener: Any, client: Any, address: tuple[Any, ...]) -> dict[str, Any]:
        """What gunicorn tells the application with each request of this connection."""
        name, port, *_ = listener.getsockname()
        return {
            **base_environ(self.cfg),
            "wsgi.errors": _Errors(self.cfg),
            "wsgi.multithread": True,
            "gunicorn.socket": client,
            ENVIRON_KEY: self._turn.at_its_end,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": name,
            "SERVER_PORT": str(port),
            "SCRIPT_NAME": "",
            "REMOTE_ADDR": address[0],
            "REMOTE_PORT": str(address[1]),
        }

    def _schemes(self, address: tuple[Any, ...]) -> dict[str, str]:
        """By the environ's key, the fields in which this peer may say that it was asked by TLS, and how it says so."""
        policy = HeaderPolicy()
        policy.cfg, policy.peer_addr = self.cfg, address
        schemes, _ = policy._peer_trusted_for_forwarded()
        return {f"HTTP_{name.replace('-', '_')}": value for name, value in schemes.items()}

    def _answer(self, request: PlainRequest, connection: Connection) -> bool:
        """gunicorn's `handle_request` for a plain one. False when it was the connection's last.

        Raises what the application does, as long as nothing of the answer has been sent."""
        began = datetime.now() if self._logs_access else None
        response = Answer(request, connection, self.cfg)
        environ = request.environ
        environ["wsgi.early_hints"] = _make_early_hints_callback(request, connection.client, response)
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        if not self.alive:
            response.force_close()
        try:
            blocks = self.wsgi(environ, response.start_response)
            if self.is_already_handled(blocks):
                return True
            try:
                if isinstance(blocks, FileWrapper):
                    response.write_file(blocks)
                else:
                    for block in blocks:
                        response.write(block)
                response.close()
            finally:
                if began is not None:
                    self.log.access(response, request, environ, datetime.now() - began)
                if hasattr(blocks, "close"):
                    blocks.close()
        except (OSError, StopIteration):
            raise
        except (Exception, SystemExit):
            if not response.headers_sent:
                raise
            self.log.exception("Error handling request")  # half of an answer is out: it cannot be taken back
            return False
        return not response.should_close()

    def _waiting(self) -> list[Waiting]:
        return [*super()._waiting(), *(connection for connection in self._connections if connection.waiting)]

    def _sweep(self) -> None:
        """Ends connections that have waited for the head of a request for longer than gunicorn's would."""
        while True:
            gevent.sleep(_SWEEP_S)
            too_early = time.monotonic() - self.cfg.keepalive
            for connection in list(self._connections):
                if connection.waiting and connection.since < too_early:
                    connection.end()


class _Errors(WSGIErrorsWrapper):  # type: ignore[misc]
    """`wsgi.errors` of a connection. gunicorn's is made for each request, and finds log files that were opened anew."""

    def __init__(self, cfg: Any) -> None:
        self._cfg = cfg

    def write(self, data: Any) -> None:
        WSGIErrorsWrapper(self._cfg).write(data)
