"""Kubernetes' quantities are read exactly."""

from fractions import Fraction

import pytest

from porch.cluster.quantity import parse, show


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("1", 1),
        ("500m", Fraction(1, 2)),
        ("0.5", Fraction(1, 2)),
        (".5", Fraction(1, 2)),
        ("100u", Fraction(1, 10000)),
        ("1n", Fraction(1, 10**9)),
        ("2k", 2000),
        ("1M", 10**6),
        ("1G", 10**9),
        ("1T", 10**12),
        ("1P", 10**15),
        ("1E", 10**18),
        ("1Ki", 1024),
        ("1.5Gi", 3 * 2**29),
        ("1Ei", 2**60),
        ("2e3", 2000),
        ("2E3", 2000),
        ("1e-3", Fraction(1, 1000)),
        ("-1", -1),
        (2, 2),
        (0.5, Fraction(1, 2)),
    ],
)
def test_a_quantity_is_read_as_kubernetes_reads_it(text: object, value: Fraction | int) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    "text", ["", "lots", "1Q", "1mi", "m", "1e99", "1e", "1.2.3", "1 Gi", "\u0661", "9" * 100, True, None]
)
def test_what_is_no_quantity_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1500m", "1500m"),
        ("2", "2"),
        ("1024", "1024"),
        ("512Mi", "512Mi"),
        ("1.5Gi", "1536Mi"),
        ("2Gi", "2Gi"),
        ("0", "0"),
    ],
)
def test_a_quantity_is_shown_briefly(text: str, shown: str) -> None:
    assert show(parse(text)) == shown
