"""The demo event, put on sale through the admin API as any event would be."""

import http.client
import json
import time
from typing import Any

from dev import interruption
from dev.errors import DevError

EVENT = "demo-concert"
ZONES: dict[str, dict[str, object]] = {
    "floor": {"name": "Floor", "capacity": 500, "price_minor": 15000, "currency": "THB"},
    "balcony": {"name": "Balcony", "capacity": 200, "price_minor": 9500, "currency": "THB"},
}
_EVENT_PATH = f"/api/v1/events/{EVENT}"
_TIMEOUT_S = 5.0
_PATIENCE_S = 20.0  # a shard that was just installed may still answer 503


def demo(base_url: str, admin_token: str) -> bool:
    """Create the demo event and its zones where they are missing; what exists keeps its data. True when it created any.

    Raises DevError when the API refuses.
    """
    created = False
    if _ask(base_url, admin_token, "GET", _EVENT_PATH) is None:
        _put(base_url, admin_token, f"/api/v1/admin/events/{EVENT}", {"name": "Demo concert"})
        created = True
    answer = _ask(base_url, admin_token, "GET", f"{_EVENT_PATH}/zones") or {"data": []}
    present = {zone["zone_id"] for zone in answer["data"]}
    for zone, facts in ZONES.items():
        if zone not in present:
            _put(base_url, admin_token, f"/api/v1/admin/events/{EVENT}/zones/{zone}", facts)
            created = True
    return created


def _put(base_url: str, admin_token: str, path: str, body: dict[str, object]) -> None:
    if _ask(base_url, admin_token, "PUT", path, body) is None:
        raise DevError(f"PUT {path}: not found.")


def _ask(base_url: str, admin_token: str, verb: str, path: str, body: dict[str, object] | None = None) -> Any:
    """The JSON of the answer; None for a 404. A 503 is asked again for a while."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        status, text = _request(base_url, admin_token, verb, path, body)
        if status in (200, 201):
            return json.loads(text)
        if status == 404:
            return None
        if status != 503 or time.monotonic() > deadline:
            raise DevError(f"The demo event could not be put on sale: {verb} {path} answered {status} {text[:500]}")
        interruption.sleep(0.2)


def _request(base_url: str, admin_token: str, verb: str, path: str, body: dict[str, object] | None) -> tuple[int, str]:
    host, _, port = base_url.removeprefix("http://").rpartition(":")
    headers = {
        "Authorization": f"Bearer {admin_token}",
        "Content-Type": "application/json",
        "X-User-ID": "demo",
    }
    connection = http.client.HTTPConnection(host, int(port), timeout=_TIMEOUT_S)
    try:
        connection.request(verb, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 503, str(error)
    finally:
        connection.close()
