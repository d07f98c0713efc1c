"""What the web process may leave to the worker."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from app.domain.errors import Refusal

log = logging.getLogger(__name__)


@contextmanager
def left_to_worker(what: str) -> Iterator[None]:
    """Runs `what`, which Postgres has already decided and its outbox already tells: if Redis cannot be told now, the
    worker tells it when the event comes round. Only `SERVICE_UNAVAILABLE` is let go; anything else is a bug."""
    try:
        yield
    except Refusal as refused:
        if refused.kind.code != "SERVICE_UNAVAILABLE":
            raise
        log.warning("%s is left to the worker: %s", what, refused.detail)
