"""What makes a retry the same request."""

from app.domain.idempotency import digest, fingerprint
from app.domain.model import Order

ORDER = Order("event", "A", 2, 150_0000, "key")


def test_a_key_is_its_users_events_and_verbs() -> None:
    scopes = [
        ("event", "ann", "reserve", "key"),
        ("event", "bob", "reserve", "key"),
        ("other", "ann", "reserve", "key"),
        ("event", "ann", "extend", "key"),
        ("event", "ann", "reserve", "yek"),
        ("eventann", "", "reserve", "key"),  # the parts do not run together
        ("event", "annreserve", "", "key"),
    ]
    assert len({digest(*scope) for scope in scopes}) == len(scopes)


def test_a_payload_is_zone_quantity_and_price() -> None:
    others = [
        Order("event", "B", 2, 150_0000, "key"),
        Order("event", "A", 1, 150_0000, "key"),
        Order("event", "A", 2, 149_0000, "key"),
        Order("event", "A", 2, None, "key"),
    ]
    assert len({fingerprint(order) for order in [ORDER, *others]}) == 5
    assert fingerprint(Order("event", "A", 2, 150_0000, "another key")) == fingerprint(ORDER)
