"""/livez, /readyz, /health, /metrics: for what runs and watches the process. None needs an identity."""

from collections.abc import Mapping
from typing import Final

from app.api import answers, metrics, present
from app.api.contract import Answer, Blueprint, documented, refuses
from app.api.leaving import unless_leaving
from app.api.services import wired

blueprint: Final = Blueprint("health", "For what runs and watches the process")


@blueprint.route("GET", "/livez")
@blueprint.answers(present.alive, {200: answers.Alive})
def livez() -> None:
    """Whether the process answers; touches no dependency"""


@blueprint.route("GET", "/readyz")
@blueprint.route("GET", "/health", operation="health")
@blueprint.answers(present.ready, {200: answers.Ready})
@refuses("SERVICE_UNAVAILABLE")
@unless_leaving
def readyz() -> Mapping[str, str]:
    """Whether seats can be sold: Redis and Postgres answer, and every shard is open

    The 503 names each part in `parts` as well. It comes first when the server is about to end.
    """
    return wired().health()


_TEXT: Final = {"description": "OK", "content": {"text/plain": {"schema": {"type": "string"}}}}


def _metrics() -> Answer:
    """Measurements of all processes, in Prometheus' text format"""
    return Answer({}, text=metrics.exposition(), content_type=metrics.CONTENT_TYPE)


blueprint.route("GET", "/metrics", operation="metrics")(documented(_metrics, responses={200: _TEXT}))
