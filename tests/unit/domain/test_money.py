"""Money is exact: minor units inside, decimal strings outside."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.money import digits_of, finest, to_text


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (15000, "THB", "150.00"),
        (15000, "JPY", "15000"),
        (15000, "KWD", "15.000"),
        (0, "EUR", "0.00"),
        (5, "EUR", "0.05"),
    ],
)
def test_minor_units_are_written_with_the_currencys_digits(minor: int, currency: str, text: str) -> None:
    assert to_text(minor, currency) == text


@given(st.integers(0, 10**11), st.sampled_from(["THB", "JPY", "KWD", "CLF"]))
def test_a_price_that_is_written_and_read_again_is_the_same_price(minor: int, currency: str) -> None:
    assert finest(Decimal(to_text(minor, currency))) == minor * 10 ** (4 - digits_of(currency))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "0.00001", "1E+400", "1E-400"])
def test_what_is_no_amount_equals_no_price(text: str) -> None:
    assert finest(Decimal(text)) == -1


@pytest.mark.parametrize("text", ["150", "150.0", "150.00", "1.5E2"])
def test_an_amount_may_be_written_in_several_ways(text: str) -> None:
    assert finest(Decimal(text)) == 150_0000
