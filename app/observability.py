"""Logs: a line an event; JSON in production, readable in development; never a secret. No Flask: the worker uses it."""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, AnyStr, Final, TextIO

import structlog
from structlog.types import EventDict, Processor

from app.as_json import as_json
from app.domain.times import now_to_text

_SHORTEST_SECRET: Final = 6  # characters; taking out shorter ones would garble the log and protect nothing
_SHARED: Final[list[Processor]] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders an event and takes out what must not be read, whoever logged it: a driver's error may quote a URL."""

    def __init__(self, secrets: Iterable[str], **options: Any) -> None:
        super().__init__(**options)
        known = {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}
        self.secrets = sorted(known | {json.dumps(secret)[1:-1] for secret in known}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        return _without(self.secrets, super().format(record), "[secret]")


class _JsonLines(logging.StreamHandler[TextIO]):
    """Takes whole events as well. Making a record of one, with process, thread and file, and formatting it, costs
    several times the line."""

    def __init__(self, stream: TextIO, formatter: _Formatter) -> None:
        super().__init__(stream)
        self.setFormatter(formatter)
        self._secrets = [secret.encode() for secret in formatter.secrets]

    def write(self, event: dict[str, Any]) -> None:
        """One write, which no other can divide: no lock."""
        stream = self.stream.buffer
        stream.write(_without(self._secrets, as_json(event), b"[secret]") + b"\n")
        stream.flush()


def _without(secrets: Iterable[AnyStr], line: AnyStr, instead: AnyStr) -> AnyStr:
    for secret in secrets:
        line = line.replace(secret, instead)
    return line


def _text(event: Any, default: Callable[[Any], Any] | None = None) -> str:
    return as_json(event, default).decode()


class Events:
    """A logger for what is said at each request: the same lines as structlog's, without its chain of processors."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        self._attributes = {level: {"_logger": self._logger, "_name": method} for level, method in _LEVELS.items()}

    def tell(self, level: int, event: str, told: dict[str, Any]) -> None:
        """`level` is INFO or WARNING of `logging`; `told` is ours from now on."""
        logger = self._logger
        if not logger.isEnabledFor(level):
            return
        told.update(event=event, level=_LEVELS[level], logger=logger.name, timestamp=now_to_text())
        handlers = logger.root.handlers
        if len(handlers) == 1 and isinstance(handlers[0], _JsonLines) and not logger.handlers:
            handlers[0].write(told)
        else:
            logger.handle(logger.makeRecord(logger.name, level, "", 0, told, (), None, extra=self._attributes[level]))


_LEVELS: Final = {logging.INFO: "info", logging.WARNING: "warning"}


def configure_logging(
    level: str, log_format: str, secrets: Iterable[str] = (), context: Callable[[], Mapping[str, Any]] = dict
) -> None:
    """Everything that this process logs goes to standard error, in one form. May be called again.

    `context`: what else each event says, of the moment that it is logged in."""

    def with_context(logger: Any, method: str, event: EventDict) -> EventDict:
        return {**context(), **event}

    shared: list[Processor] = [with_context, *_SHARED]
    in_json = log_format == "json"
    renderer: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_text)] if in_json else [_console()]
    )
    formatter = _Formatter(
        secrets,
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
    )
    handler = _JsonLines(sys.stderr, formatter) if in_json else logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.set_name("holdfast")
    root = logging.getLogger()
    root.handlers = [other for other in root.handlers if other.get_name() != "holdfast"] + [handler]
    root.setLevel(level)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # gunicorn brings handlers of its own, which know neither our form nor our secrets.
    for name in ("gunicorn.error", "gunicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def _console() -> Processor:
    # The plain traceback: the decorated ones print local variables, and those hold what nobody should log.
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_level=False
    )
