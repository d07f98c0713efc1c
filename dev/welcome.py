"""What `make run` and `make up` print when the system is ready: where it is, and three commands to try it."""

import os
import shlex

from dev import seed
from dev.process import ROOT
from dev.stack import Stack

_BOOKINGS = (
    "SELECT booking_id, user_id, zone_id, quantity, status FROM booking.bookings ORDER BY booking_id DESC LIMIT 5"
)
_PAID = """ -H 'Content-Type: application/json' -d '{"payment_id": "approve-1"}'"""
_PAYMENTS = """
The payment's name says what is to become of it: approve-1, decline-1, timeout-then-succeed-1, timeout-then-fail-1, and
more in docs/payments.md.
"""


def text(stack: Stack) -> str:
    """The commands work as they are printed, from the directory of the checkout."""
    api = f"{stack.base_url}/api/v1/bookings"
    run = shlex.quote(os.path.relpath(stack.directory, ROOT))
    identity = _identity(stack.settings["AUTH_MODE"], run)
    order = f'{{"event_id": "{seed.EVENT}", "zone_id": "floor", "quantity": 2}}'
    json_type = "-H 'Content-Type: application/json'"
    booking_id = f'$(sed \'s/.*"booking_id": *"\\([^"]*\\)".*/\\1/\' {run}/reserved.json)'
    paid, payments = ("", "") if stack.settings.get("PAYMENTS", "none") == "none" else (_PAID, _PAYMENTS)
    return f"""
Holdfast is ready.

    {stack.base_url}
    {stack.base_url}/docs

Reserve two seats, confirm them, and find the booking in PostgreSQL (paste from this directory):

curl -sS {api}/reserve {json_type} {identity} -d '{order}' | tr -d '\\n' | tee {run}/reserved.json; echo

curl -sS -X POST {identity}{paid} {api}/{booking_id}/confirm; echo

psql "$(. {run}/env; echo "$DATABASE_URL")" -P pager=off -c '{_BOOKINGS}'
{payments}
Addresses and secrets: {run}/env    Logs: {run}/*/log
"""


def _identity(auth_mode: str, run: str) -> str:
    if auth_mode == "gateway":
        return "-H 'X-User-ID: ann'"
    # A fresh token each time: a printed one would expire.
    return f'-H "Authorization: Bearer $(set -a; . {run}/env; .venv/bin/flask --app wsgi ops token --user ann)"'
