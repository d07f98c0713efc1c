"""Money: integer minor units inside, decimal strings outside, ISO 4217 currencies. No floats."""

from decimal import Decimal
from functools import lru_cache
from typing import Final

# ISO 4217:2015 (list one): currencies whose minor unit is not a hundredth.
_DIGITS: Final = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),  # noqa: SIM905
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),  # noqa: SIM905
    **dict.fromkeys("CLF UYW".split(), 4),  # noqa: SIM905
}
FINEST_DIGITS: Final = 4


def digits_of(currency: str) -> int:
    """How many decimal digits `currency` has: 2 for EUR, 0 for JPY, 3 for KWD."""
    return _DIGITS.get(currency, 2)


@lru_cache(maxsize=1024)  # an event has a few prices, and a few quantities to a price
def to_text(minor: int, currency: str) -> str:
    """`15000` THB as `"150.00"`, `15000` JPY as `"15000"`."""
    return f"{Decimal(minor).scaleb(-digits_of(currency)):f}"


def finest(amount: Decimal) -> int:
    """`amount` in ten-thousandths, the finest unit of any currency; -1, which equals no price, if it is finer still."""
    if not amount.is_finite() or amount.adjusted() > 15:
        return -1
    scaled = amount.scaleb(FINEST_DIGITS)
    return int(scaled) if scaled == scaled.to_integral_value() else -1
