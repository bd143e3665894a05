"""Kubernetes' quantities, exactly: ``500m``, ``1.5Gi``, ``2e3`` (k8s.io/apimachinery, pkg/api/resource/quantity.go)."""

from fractions import Fraction

_SUFFIXES = {
    **{
        name: Fraction(1000) ** power
        for power, name in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)
    },
    **{f"{name}i": Fraction(1024) ** power for power, name in enumerate("KMGTPE", 1)},
}
_NUMBER = frozenset("0123456789.+-")
_MAX_LENGTH = 64  # of the text, and bounds the exponent's cost
_MAX_EXPONENT = 30


def parse(value: object) -> Fraction:
    """Return the quantity that ``value`` (a text, or a number of JSON) means; ``ValueError`` for anything else."""
    text = str(value)
    if len(text) > _MAX_LENGTH or isinstance(value, bool):
        raise ValueError(f"no quantity: {text!a:.80}")
    digits = text.rstrip("numkKMGTPEi")
    if digits != text:
        suffix = text[len(digits) :]
        if suffix not in _SUFFIXES:
            raise ValueError(f"no quantity: {text!a}")
        return _number(digits) * _SUFFIXES[suffix]
    digits, marker, exponent = text.replace("E", "e").partition("e")
    return _number(digits) * (Fraction(10) ** _exponent(exponent) if marker else 1)


def show(quantity: Fraction) -> str:
    """Return a short spelling: whole numbers with the largest binary suffix that fits, others in thousandths."""
    if quantity.denominator != 1:
        return f"{float(quantity * 1000):g}m"
    for name in ("Ei", "Pi", "Ti", "Gi", "Mi"):  # below, pods and processors would look odd
        if quantity and quantity % _SUFFIXES[name] == 0:
            return f"{quantity / _SUFFIXES[name]}{name}"
    return str(quantity)


def _number(digits: str) -> Fraction:
    if not _NUMBER.issuperset(digits):
        raise ValueError(f"no quantity: {digits!a}")
    try:
        return Fraction(digits)
    except ValueError:
        raise ValueError(f"no quantity: {digits!a}") from None


def _exponent(digits: str) -> int:
    if not _NUMBER.issuperset(digits) or not digits.lstrip("+-").isdecimal() or abs(int(digits)) > _MAX_EXPONENT:
        raise ValueError(f"no quantity: exponent {digits!a}")
    return int(digits)
