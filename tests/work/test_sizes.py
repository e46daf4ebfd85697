"""Lengths of blocks, and codes of places."""

from hypothesis import given
from hypothesis import strategies as st

from computicle.work.codes import PLACES, TRANSIT, code_of, is_in_transit, place_of
from computicle.work.sizes import GRANULE, KINDS, LENGTHS, PAGE, SMALL_MAX, UNIT, counted, units_for


def test_there_are_four_classes_to_a_doubling() -> None:
    assert LENGTHS[1:13] == (64, 128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024)
    assert LENGTHS[-1] == SMALL_MAX
    assert len(LENGTHS) == 33


@given(st.integers(1, SMALL_MAX) | st.integers(1, 1 << 40))
def test_what_is_added_is_less_than_a_granule_or_a_quarter(n: int) -> None:
    length = counted(n)
    assert n <= length
    assert length - n < max(GRANULE, n / 4)
    assert length % GRANULE == 0


@given(st.integers(1, 1 << 20), st.integers(1, 1 << 20))
def test_who_asks_for_more_gets_no_less(one: int, other: int) -> None:
    assert counted(min(one, other)) <= counted(max(one, other))


def test_each_length_counts_itself() -> None:
    for kind, length in enumerate(LENGTHS[1:], 1):
        assert counted(length) == length
        assert KINDS[length // GRANULE] == kind


def test_whole_pages_are_lengths_and_their_blocks_begin_at_pages() -> None:
    for length in range(PAGE, SMALL_MAX + 1, PAGE):
        assert length in LENGTHS
    assert counted(SMALL_MAX + 1) == SMALL_MAX + PAGE


def test_large_blocks_take_whole_units() -> None:
    assert units_for(counted(SMALL_MAX + 1)) == 1
    assert units_for(UNIT) == 1
    assert units_for(UNIT + PAGE) == 2


def test_codes_tell_places_and_neither_byte_is_zero() -> None:
    codes = [code_of(place) for place in range(PLACES)]
    assert len(set(codes)) == PLACES
    assert not any(map(is_in_transit, codes))
    assert all(code & 0xFF and code >> 8 and code < 1 << 16 for code in codes)
    assert [place_of(code) for code in codes] == list(range(PLACES))
    assert place_of(0) is place_of(TRANSIT | codes[7]) is None
