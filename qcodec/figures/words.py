"""Numbers and names as figures and tables write them."""

import math


def plain(value: float) -> str:
    """Write a tick's value as one would by hand: 0.001, 20, or a power of ten.

    Example:
        >>> plain(0.05), plain(1e6), plain(2e-5)
        ('0.05', '$10^{6}$', '$2{\\\\times}10^{-5}$')
    """
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:g}"
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    factor = f"{value / 10**exponent:.3g}"
    return f"$10^{{{exponent}}}$" if factor == "1" else f"${factor}{{\\times}}10^{{{exponent}}}$"


def short(value: float) -> str:
    """Write a value with three digits, as ``1.5e5`` where it is large and ``2.3e-5`` where it is small."""
    if not math.isfinite(value) or value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3g}" if abs(value) < 1000 or not math.isfinite(value) else f"{value:.0f}"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits}e{int(exponent)}"


def cut(name: str, length: int) -> str:
    """Leave out the middle of a name that is longer than ``length``."""
    return name if len(name) <= length else f"{name[: length // 2 - 1]}…{name[-(length - length // 2) :]}"


def two_lines(name: str, value: str, second: str) -> tuple[str, str]:
    """Write a label's first line, name and value, and its second; a long name pushes the value to the second."""
    return (f"{name}  {value}", second) if len(name) <= 16 else (cut(name, 25), second or value)
