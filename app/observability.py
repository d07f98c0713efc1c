"""Logs: a line an event; JSON in production, readable in development; never a secret. No Flask: the worker uses it."""

import json
import logging
import sys
from collections.abc import Iterable
from typing import Any, Final

import structlog
from structlog.types import Processor

_SHORTEST_SECRET: Final = 6  # characters; taking out shorter ones would garble the log and protect nothing
_SHARED: Final[list[Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders an event and takes out what must not be read, whoever logged it: a driver's error may quote a URL."""

    def __init__(self, secrets: Iterable[str], **options: Any) -> None:
        super().__init__(**options)
        known = {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}
        self._secrets = sorted(known | {json.dumps(secret)[1:-1] for secret in known}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        for secret in self._secrets:
            line = line.replace(secret, "[secret]")
        return line


def configure_logging(level: str, log_format: str, secrets: Iterable[str] = ()) -> None:
    """Everything that this process logs goes to standard error, in one form. May be called again."""
    renderer: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [_console()]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.set_name("holdfast")
    handler.setFormatter(
        _Formatter(
            secrets,
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [other for other in root.handlers if other.get_name() != "holdfast"] + [handler]
    root.setLevel(level)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
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
