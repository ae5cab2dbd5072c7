"""Figures of money: integer picodollars inside, `Decimal` dollars at the edges.

One picodollar is 1e-12 USD. A rate is held in picodollars per million units, which is exact for every price that
providers publish (USD per million with up to twelve decimals). Rounding happens once per attempt, half up.
"""

from decimal import Decimal
from fractions import Fraction

PICO = 10**12
MILLION = 10**6


def from_usd(amount: Decimal | int | str) -> int:
    """Dollars to picodollars, rounded half up.

    Example:
        >>> from_usd("0.10")
        100000000000
    """
    return half_up(Fraction(Decimal(amount)) * PICO)


def to_usd(pico: int) -> Decimal:
    """Picodollars to dollars, exactly.

    Example:
        >>> to_usd(1_500_000)
        Decimal('0.0000015')
    """
    # Built from digits rather than divided: division would round to the context's precision.
    exponent = -12
    rest = abs(pico)
    while exponent < 0 and rest % 10 == 0:
        rest //= 10
        exponent += 1
    return Decimal((int(pico < 0), tuple(map(int, str(rest))), exponent))


def show_usd(pico: int) -> str:
    """Picodollars as a plain decimal string, never in exponent form.

    Example:
        >>> show_usd(1_500_000), show_usd(0)
        ('0.0000015', '0')
    """
    dollars, rest = divmod(abs(pico), PICO)
    sign = "-" if pico < 0 else ""
    return f"{sign}{dollars}.{rest:012}".rstrip("0") if rest else f"{sign}{dollars}"


def half_up(value: Fraction) -> int:
    """Round a non-negative fraction to the nearest integer, halves upwards.

    Example:
        >>> half_up(Fraction(5, 2)), half_up(Fraction(7, 3))
        (3, 2)
    """
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)
