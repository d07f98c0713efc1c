"""`flask ops payments list | show | ask | refund`: what is being paid, and what became of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, get_args

import click
from flask.cli import AppGroup

from app.cli import tables
from app.cli.opened import opened
from app.domain import money, times
from app.domain.model import PaymentState
from app.domain.payments import Payment
from app.wiring import Wiring

payments = AppGroup("payments", help="What is being paid, and what became of it.")
_number = click.argument("number", metavar="ID", type=click.IntRange(1, 2**63 - 1))
_as_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
NOT_OVER: Sequence[PaymentState] = ("intent", "pending", "voiding", "refunding")


@payments.command("list")
@click.option(
    "--state",
    type=click.Choice(["open", "all", *get_args(PaymentState)]),
    default="open",
    show_default=True,
    help="Only those; `open`: something is still to be done about them.",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="The latest so many.")
@_as_json
def list_(state: str, limit: int, as_json: bool) -> None:
    """The latest attempts to pay, the newest first."""
    states: dict[str, Sequence[Any] | None] = {"open": NOT_OVER, "all": None}
    with opened() as wiring:
        found = wiring.payments.list_payments(states.get(state, (state,)), None, limit)
    if as_json:
        return click.echo(json.dumps([asdict(payment) for payment in found], indent=2))
    return tables.show(
        ("id", "booking", "user", "payment", "amount", "state", "tries", "age s", "detail"),
        [
            (
                *(p.number, p.booking_id, p.user_id, p.payment_id),
                f"{money.to_text(p.amount_minor, p.currency)} {p.currency}",
                *(p.state, p.tries, p.age_ms // 1000, p.detail),
            )
            for p in found
        ],
    )


@payments.command()
@_number
def show(number: int) -> None:
    """One attempt, with each step that it took."""
    with opened() as wiring:
        payment = _one(wiring, number)
        of_booking = wiring.payments.get_payments(payment.booking_id)
    for name, value in asdict(payment).items():
        tables.line(f"{name}:", value)
    for step in next(steps for found, steps in of_booking if found.number == number):
        tables.line(times.to_text(step.at_ms), step.state, step.detail)


@payments.command()
@_number
def ask(number: int) -> None:
    """Ask the provider now, and do what follows: confirm, void, refund. Of one that is over as well: if there is money
    that nobody knew of, it becomes a ticket or goes back."""
    with opened() as wiring:
        payment = _one(wiring, number)
        if payment.state in ("captured", "refunded"):
            return click.echo(f"payment {number} is {payment.state}; the provider says: {_word(wiring, payment)}")
        wiring.payments.doubt_payment(number, "an operator asked")
        return _step(wiring, number)


@payments.command()
@_number
@click.confirmation_option(prompt="A confirmed booking is cancelled by this. Go on?")
def refund(number: int) -> None:
    """Give the money back. A booking that was confirmed with it is cancelled: its seats are on sale again."""
    with opened() as wiring:
        payment = _one(wiring, number)
        if payment.state == "captured":
            wiring.cancel(payment.user_id, payment.booking_id, "refund by an operator")
        else:
            wiring.payments.doubt_payment(number, "an operator wants it back")
        return _step(wiring, number)


def _one(wiring: Wiring, number: int) -> Payment:
    found = wiring.payments.list_payments(None, number, 1)
    if not found:
        raise click.ClickException(f"There is no payment {number}.")
    return found[0]


def _word(wiring: Wiring, payment: Payment) -> str:
    return wiring.pay.provider.status(payment).state if wiring.pay else "nothing, for PAYMENTS is none"


def _step(wiring: Wiring, number: int) -> None:
    """One step; the worker does the rest."""
    if wiring.pay is None:
        raise click.ClickException("There is nobody to be asked: PAYMENTS is none.")
    payment = _one(wiring, number)
    if payment.state in NOT_OVER:
        wiring.pay.step(payment)
    after = _one(wiring, number)
    click.echo(f"payment {number}: {payment.state}, now {after.state}" + (f" ({after.detail})" if after.detail else ""))
