"""What the views call. The factory joins it; a view asks for it by `wired()`."""

from collections.abc import Mapping
from typing import Protocol, cast

from app.api.asked import asked
from app.services.availability import Availability
from app.services.cancel import Cancel
from app.services.confirm import Confirm
from app.services.extend import Extend
from app.services.get import Get
from app.services.history import History
from app.services.inventory import Inventory
from app.services.list_bookings import ListBookings
from app.services.open_zone import OpenZone
from app.services.receive import Receive
from app.services.reconcile import Reconcile
from app.services.release import Release
from app.services.reserve import Reserve
from app.services.summary import Summary


class Services(Protocol):
    @property
    def reserve(self) -> Reserve: ...
    @property
    def confirm(self) -> Confirm: ...
    @property
    def release(self) -> Release: ...
    @property
    def cancel(self) -> Cancel: ...
    @property
    def extend(self) -> Extend: ...
    @property
    def history(self) -> History: ...
    @property
    def list_bookings(self) -> ListBookings: ...
    @property
    def summary(self) -> Summary: ...
    @property
    def inventory(self) -> Inventory: ...
    @property
    def reconcile(self) -> Reconcile: ...
    @property
    def receive(self) -> Receive: ...
    @property
    def get(self) -> Get: ...
    @property
    def open_zone(self) -> OpenZone: ...
    @property
    def availability(self) -> Availability: ...
    def health(self) -> Mapping[str, str]: ...


def wired() -> Services:
    """The services of the application that serves this request."""
    return cast(Services, asked().app.extensions["holdfast"])
