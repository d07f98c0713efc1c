"""The topics and groups by name, and what each topic must keep."""

from dataclasses import dataclass
from typing import Any, Final

EVENT_PARTITIONS: Final = 16
PAYMENT_PARTITIONS: Final = 16
DEAD_PARTITIONS: Final = 1

# What the log still holds is what a rebuild can still rescue, and what the recorder has not read yet: it must outlast
# the longest time that Postgres may be away. A week is longer than any hold and any weekend, and bounds the disk.
RETENTION_MS: Final = 7 * 24 * 3600 * 1000
# A dead letter is kept until somebody has had a month to look at it (Postgres keeps it for good).
DEAD_RETENTION_MS: Final = 30 * 24 * 3600 * 1000

# 500 entries of at most about 2 KB; a message that was too large elsewhere must still fit into the dead letters.
MESSAGE_MAX_BYTES: Final = 2 * 1024 * 1024
DEAD_MAX_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Topics:
    """All names that we use in Kafka. A `prefix` keeps tests that share a broker apart."""

    prefix: str = ""

    @property
    def reservation_log(self) -> str:
        return f"{self.prefix}reservation.log"

    @property
    def booking_events(self) -> str:
        return f"{self.prefix}booking.events"

    @property
    def payment_events(self) -> str:
        return f"{self.prefix}payment.events"

    @property
    def booking_dead(self) -> str:
        return f"{self.prefix}booking.dead"

    @property
    def recorder(self) -> str:
        """The group whose committed offset says how much of the log Postgres has."""
        return f"{self.prefix}holdfast.recorder"

    @property
    def settler(self) -> str:
        return f"{self.prefix}holdfast.settler"

    @property
    def cashier(self) -> str:
        return f"{self.prefix}holdfast.cashier"

    def names(self) -> tuple[str, ...]:
        return self.reservation_log, self.booking_events, self.payment_events, self.booking_dead

    def wanted(self, shards: int) -> dict[str, dict[str, Any]]:
        """What must exist, as kafka-python's admin client takes it. Replication is the broker's default: one broker in
        development, three in production."""
        return {
            # A partition is a shard: that is what keeps the entries of a shard in order.
            self.reservation_log: _topic(shards, RETENTION_MS, MESSAGE_MAX_BYTES),
            self.booking_events: _topic(EVENT_PARTITIONS, RETENTION_MS, MESSAGE_MAX_BYTES),
            self.payment_events: _topic(PAYMENT_PARTITIONS, RETENTION_MS, MESSAGE_MAX_BYTES),
            self.booking_dead: _topic(DEAD_PARTITIONS, DEAD_RETENTION_MS, DEAD_MAX_BYTES),
        }


def _topic(partitions: int, retention_ms: int, max_bytes: int) -> dict[str, Any]:
    return {
        "num_partitions": partitions,
        "replication_factor": -1,
        "configs": {
            "cleanup.policy": "delete",
            "retention.ms": str(retention_ms),
            "retention.bytes": "-1",
            "max.message.bytes": str(max_bytes),
            "unclean.leader.election.enable": "false",
        },
    }
