"""The vocabulary: the names are promised, documented, and typed."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

import computicle
from computicle import words, work, worlds

# The contract, as far as it has been built, by theme.
WORDS = """
    run stop spawn yield_ sleep delay periodic
    wait_for when whenever
    wait_signal on_signal signal_one signal_all
    scope fail_after move_on_after shield race gather select
    current fibers
    offload connect listen serve
""".split()

OF_WORLDS = "receive self_ supervise".split()

TYPES = """
    Fiber Scope Channel Semaphore Lock FiberLocal Stream Listener
    Cancelled FiberCancelled Deadlock ClosedError IncompleteRead LineTooLong
""".split()


TYPES_OF_WORLDS = "Computicle ComputicleDied Down GaveUp RemoteError Reply Restart Spec Supervisor".split()

TYPES_OF_WORK = """
    Batch Block Dead DeadItem Heap HeapShare HeapStats Item Moved Outcome QueueShare QueueStats WorkQueue Workers
""".split()

OF_WORK = ["workers"]

ALL_WORDS = WORDS + OF_WORLDS + OF_WORK
ALL_TYPES = TYPES + TYPES_OF_WORLDS + TYPES_OF_WORK


def test_the_words_are_those_of_the_contract() -> None:
    assert sorted(words.__all__) == sorted(WORDS + TYPES)
    assert sorted(worlds.__all__) == sorted(OF_WORLDS + TYPES_OF_WORLDS)
    assert sorted(work.__all__) == sorted(OF_WORK + TYPES_OF_WORK)


def test_they_are_listed_in_order_and_once() -> None:
    for listed in (words.__all__, work.__all__, worlds.__all__, computicle.__all__):
        assert list(listed) == sorted(set(listed))


def test_a_star_brings_them_all_and_nothing_else() -> None:
    namespace: dict[str, Any] = {}
    exec("from computicle import *", namespace)
    del namespace["__builtins__"]
    assert sorted(namespace) == sorted(ALL_WORDS + ALL_TYPES)
    assert all(namespace[name] is getattr(computicle, name) for name in namespace)


@pytest.mark.parametrize("name", ALL_WORDS)
def test_words_are_functions_and_types_are_types(name: str) -> None:
    assert inspect.isfunction(getattr(computicle, name))


@pytest.mark.parametrize("name", ALL_TYPES)
def test_types_are_types(name: str) -> None:
    assert inspect.isclass(getattr(computicle, name))


def public_callables() -> Iterator[Any]:
    for name in ALL_WORDS:
        fn = getattr(computicle, name)
        yield pytest.param(fn, inspect.getdoc(fn), id=name)
    for name in ALL_TYPES:
        kind = getattr(computicle, name)
        for member, value in vars(kind).items():
            function = value.fget if isinstance(value, property) else value
            if inspect.isfunction(function) and not member.startswith("_") and member not in OF_THE_KERNEL:
                yield pytest.param(function, inspect.getdoc(getattr(kind, member)), id=f"{name}.{member}")


OF_THE_KERNEL = {"call_off", "host_fiber", "switch"}  # what park.py and region.py ask of whoever plays a part there


@pytest.mark.parametrize(("function", "text"), [*public_callables()])
def test_every_public_callable_is_documented_and_typed(function: Any, text: str | None) -> None:
    assert text, "no docstring"
    hints = function.__annotations__
    assert "return" in hints, "no return type"
    missing = [name for name in inspect.signature(function).parameters if name not in hints and name != "self"]
    assert not missing, f"no types for {missing}"


@pytest.mark.parametrize("name", ALL_TYPES)
def test_every_type_is_documented(name: str) -> None:
    assert getattr(computicle, name).__doc__


@pytest.mark.parametrize("function", [pytest.param(getattr(computicle, name), id=name) for name in ALL_WORDS])
def test_the_docstring_of_a_word_says_what_its_arguments_are_for(function: Any) -> None:
    """Either in the text or in a list; the first line is a sentence."""
    text = inspect.getdoc(function) or ""
    assert text.splitlines()[0][-1] in ".:", text
    for name in inspect.signature(function).parameters:
        if name not in ("args", "kwargs"):
            assert name in text, f"{name} is not mentioned"
