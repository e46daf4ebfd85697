"""Plain: what is only data, by a pickler that is used again."""

import fractions
import gc
import pickle
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from computicle.worlds import plain
from computicle.worlds.plain import NotPlain, pickle_plain, spare_dumper

NO_DATA = fractions.Fraction(1, 3)

atoms = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=80), st.binary(max_size=80)
)
data = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=3), inner, max_size=4),
        st.frozensets(atoms, max_size=4),
    ),
    max_leaves=12,
)


class Sub(int):
    """Not just data."""


@settings(deadline=None)
@given(st.lists(st.one_of(data, st.builds(lambda value: [value, NO_DATA], data)), max_size=8))
def test_each_pickle_stands_by_itself_whatever_came_before(values: list[Any]) -> None:
    for value in values:
        pickled = pickle_plain(value)
        if isinstance(value, list) and value[-1:] == [NO_DATA]:
            assert pickled is None
        else:
            assert pickled is not None
            assert pickle.loads(pickled) == value


@pytest.mark.parametrize(
    "value", ["x" * 200_000, ["y" * 200_000, "z", b"w" * 200_000], [*range(50_000)], [b"v" * 70_000]]
)
def test_what_is_longer_than_a_frame_is_whole(value: Any) -> None:
    for each in (value, "short", value):
        pickled = pickle_plain(each)
        assert pickled is not None
        assert pickle.loads(pickled) == each


def test_what_is_not_only_data_is_for_another_way() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (
        NO_DATA,
        [NO_DATA],
        {"a": (1, NO_DATA)},
        Sub(1),
        (Sub(1),),
        len,
        int,
        [object()],
        (pickle.PickleBuffer(b"x"),),
        b"x" * 5000,
        deep,
    ):
        assert pickle_plain(value) is None
        assert pickle_plain("after") == pickle.dumps("after", 5)


def test_the_same_object_twice_is_one_of_them() -> None:
    inner = [1]
    found = pickle.loads(pickle_plain((inner, inner)) or b"")
    assert found[0] is found[1]
    found[0].append(found)  # one that contains itself
    again = pickle.loads(pickle_plain(found) or b"")
    assert again[0][1] is again


def test_after_something_large_the_memo_is_a_new_one() -> None:
    """Else clearing it would take as long, for each small one from then on: it has room for all of these."""
    spare_dumper()  # the next one is new, or small
    assert pickle_plain([str(number) for number in range(100_000)]) is not None
    dumper = spare_dumper()
    try:
        assert dumper.pickler.memo.copy() == {}
        assert dumper.pickler.__sizeof__() < 10_000
    finally:
        dumper.spare()


def test_what_strikes_in_the_middle_has_a_pickler_of_its_own() -> None:
    found: list[bytes | None] = []

    class Pickles:
        def __del__(self) -> None:
            found.append(pickle_plain("in between"))

    def pickling(value: Any) -> bytes | None:
        found.clear()
        dumper = spare_dumper()  # in use by one, here
        cycle: list[Any] = [Pickles()]
        cycle.append(cycle)
        del cycle
        dumper.dump(value)
        gc.collect()
        parts = dumper.parts[:]
        dumper.spare()
        return b"".join(parts)

    assert pickling(("a", 1)) == pickle.dumps(("a", 1), 5)
    assert found == [pickle.dumps("in between", 5)]


def test_threads_do_not_mix_their_pickles() -> None:
    wrong: list[Any] = []

    def work(mine: str) -> None:
        for number in range(3000):
            value = (mine, number, "x" * (number % 150))
            if pickle.loads(pickle_plain(value) or b"") != value:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_could_change_until_the_parts_are_put_together_is_pickled_in_one_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changing = bytearray(200_000)

    def changed_meanwhile(value: Any, protocol: int) -> bytes:
        del changing[1000:]
        return pickle.dumps(value, protocol)

    monkeypatch.setattr(plain, "dumps", changed_meanwhile)
    assert pickle.loads(pickle_plain([changing]) or b"") == [bytearray(1000)]


def test_no_more_picklers_are_kept_than_are_in_use_mostly() -> None:
    for dumper in [spare_dumper() for _ in range(3 * plain.SPARE_MAX)]:
        dumper.spare()
    assert len(plain._spare) == plain.SPARE_MAX


def test_a_pickler_that_was_stopped_begins_anew() -> None:
    dumper = spare_dumper()
    with pytest.raises(NotPlain):
        dumper.dump(("before", [NO_DATA]))
    dumper.spare()
    assert pickle_plain("before") == pickle.dumps("before", 5)
