"""The oracle over the public events: each end and each confirmation was told, once."""

from dataclasses import replace

from dev.kafka import Kafka
from tests.integration.worker.conftest import Line
from tests.support import invariants
from tests.support.controls import goes_red
from tests.support.seats import Sale


def _told_once(sale: Sale, line: Line, kafka: Kafka) -> None:
    database, prefix = sale.shop.settings.database_url, line.topics.prefix
    invariants.transitions_are_told_once(database, kafka.bootstrap_servers, prefix, sale.event_id)


def test_what_was_told_twice_counts_once_and_what_was_never_told_is_found(sale: Sale, line: Line, kafka: Kafka) -> None:
    ann, bob = (sale.reserve(user).booking.booking_id for user in ("ann", "bob"))
    sale.shop.confirm("ann", ann, None)
    sale.record()
    rows = sale.shop.ledger_outbox.read(500)
    line.row_relay().turn()
    line.row_relay(_Again(rows)).turn()
    _told_once(sale, line, kafka)

    sale.shop.confirm("bob", bob, None)
    sale.record()
    sale.shop.ledger_outbox.acknowledge([row.id for row in sale.shop.ledger_outbox.read(500)])
    with goes_red(f"{bob} came to .*confirmed.*, and .. was told"):
        _told_once(sale, line, kafka)


def test_two_events_of_one_id_that_differ_are_found(sale: Sale, line: Line, kafka: Kafka) -> None:
    ann = sale.reserve("ann").booking.booking_id
    sale.shop.confirm("ann", ann, None)
    sale.record()
    rows = sale.shop.ledger_outbox.read(500)
    line.row_relay().turn()
    line.row_relay(_Again([replace(row, data={**row.data, "booking": {}}) for row in rows])).turn()
    with goes_red("was told twice, and not the same"):
        _told_once(sale, line, kafka)


class _Again:
    """An outbox whose rows come once more."""

    def __init__(self, rows: object) -> None:
        self._rows = rows

    def read(self, limit: int) -> object:
        return self._rows

    def acknowledge(self, ids: object) -> None:
        """They are gone already."""
