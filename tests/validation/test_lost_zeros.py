"""Lost zeros: ids that a spreadsheet or a program took for numbers are shown beside those that kept their zeros."""

from __future__ import annotations

import pytest

from nightloop.tasks.validation.gx import EarlierNights
from tests.validation.test_all_new import known
from tests.validation.test_gx import changed, look, rows

PADDED = {n: f"{n % 100 * 37:05d}" for n in range(400)}
PLAIN = {n: id_.lstrip("0") or "0" for n, id_ in PADDED.items()}


def _shown(ids: dict[int, str], role: str = "user", nights: EarlierNights | None = None) -> list[str]:
    reasons = look(changed(rows(), role, ids), nights=nights)[0].reasons
    return [reason for reason in reasons if "zeros or a plus" in reason]


@pytest.mark.parametrize("role", ["user", "item"])
def test_ids_that_lost_their_zeros_in_one_of_two_files_are_shown(role: str) -> None:
    """PyNIDM 84, practical-sql 6, justice40-tool 953: half of the rows are of a file that was opened in a spreadsheet."""
    (reason,) = _shown({n: (PADDED if n < 200 else PLAIN)[n] for n in range(400)}, role)
    assert (
        f"share of {role}s that differ in zeros or a plus alone is 1, allowed is at most 0.01: '0' and '00000'"
        in reason
    )
    assert not _shown(PADDED, role) and not _shown(PLAIN, role)


def test_ids_that_lost_zeros_which_earlier_nights_knew_are_shown() -> None:
    """Most had none, so that they are not all new."""
    mixed = [f"{n * 2500:05d}" for n in range(50)]  # four of them begin with a zero
    nights = EarlierNights((), known("user", mixed))
    (reason,) = _shown({n: str(int(mixed[n % 50])) for n in range(400)}, nights=nights)
    assert "is 0.08, allowed is at most 0.01: '0' and '00000'" in reason
    assert not _shown({n: mixed[n % 50] for n in range(400)}, nights=nights)


def test_a_few_ids_that_differ_in_zeros_are_two_ids() -> None:
    assert not _shown({**{n: f"{n + 1000}" for n in range(400)}, 5: "01007"})
    assert not _shown({n: ("a01", "a1", "007", "7")[n % 4] for n in range(400)})  # of too few nothing can be said


@pytest.mark.parametrize(
    ("whole", "lost"),
    [("+47412{:05d}", "47412{:05d}"), ("0047412{:05d}", "+47412{:05d}"), ("1.{:02d}0", "1.{:02d}")],
)
def test_ids_that_lost_a_plus_or_zeros_of_a_fraction_are_shown(whole: str, lost: str) -> None:
    """yii2-export 359, Laravel-Excel 1301 and 300: phone numbers lose their plus; and articles 1.10 become 1.1."""
    numbers = [n for n in range(100) if n % 10]
    ids = {n: (whole if n < 200 else lost).format(numbers[n % len(numbers)]) for n in range(400)}
    (reason,) = _shown(ids)
    assert "zeros or a plus alone is 1, allowed is at most 0.01" in reason
    for form in (whole, lost):
        assert not _shown({n: form.format(numbers[n % len(numbers)]) for n in range(400)})
