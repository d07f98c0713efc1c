"""What processes tell Prometheus."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from dev.worker import Worker


def figures(worker: Worker) -> dict[str, float]:
    """What the worker tells now, by name and labels; nothing before it listens."""
    try:
        text = httpx.get(str(worker.metrics_url), trust_env=False, timeout=5).text
    except httpx.ConnectError:
        return {}
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value for sample in samples}


def backlog(worker: Worker) -> int:
    """What Kafka does not have yet, of both outboxes."""
    told = figures(worker)
    assert told["holdfast_store_answered redis"] == told["holdfast_store_answered postgres"] == 1
    return int(
        sum(
            value
            for name, value in told.items()
            if name.startswith(("holdfast_outbox_entries", "holdfast_events_waiting"))
        )
    )
