"""Monitors and links: who is told of an end, and whose life ends with it."""

from typing import Any

import pytest

from computicle import *


def test_a_monitor_puts_the_news_into_the_mailbox() -> None:
    def main() -> None:
        good, bad, killed = Computicle(int), Computicle(sleep, 3600), Computicle()
        failing = [Computicle(lambda: 1 / 0)]
        for computicle in (good, bad, killed):
            computicle.monitor()
        with pytest.raises(ZeroDivisionError):
            failing[0].wait()
        failing[0].monitor()
        bad.kill()
        killed.quit()
        news = {down.computicle: down.error for down in (receive() for _ in range(4))}
        assert news[good] is None
        assert news[killed] is None
        assert isinstance(news[bad], ComputicleDied)
        assert isinstance(news[failing[0]], ZeroDivisionError)

    run(main)


def test_a_monitor_wakes_whoever_waits_for_a_message() -> None:
    def main() -> Any:
        computicle = Computicle()
        computicle.monitor()
        delay(computicle.kill, 0)
        return receive().computicle is computicle

    assert run(main)


def test_linked_ones_end_together() -> None:
    def main() -> None:
        one, other, third = Computicle(), Computicle(), Computicle()
        one.call(lambda handle: handle.link(), other)
        one.kill()
        with pytest.raises(ExceptionGroup) as caught:
            other.wait()
        assert [type(error) for error in caught.value.exceptions] == [ComputicleDied]
        assert third.call(len, "abc") == 3

    run(main)


def test_a_link_goes_both_ways() -> None:
    def main() -> None:
        one, other = Computicle(), Computicle()
        one.call(lambda handle: handle.link(), other)
        other.kill()
        with pytest.raises(ExceptionGroup):
            one.wait()

    run(main)


def test_a_good_end_does_not_reach_those_linked() -> None:
    def main() -> None:
        one, other = Computicle(), Computicle()
        one.call(lambda handle: handle.link(), other)
        one.quit()
        one.wait()
        assert other.call(len, "abc") == 3

    run(main)


def test_the_main_program_ends_with_what_it_is_linked_to() -> None:
    def main() -> None:
        computicle = Computicle()
        computicle.link()
        computicle.kill()
        sleep(3600)

    with pytest.raises(ExceptionGroup) as caught:
        run(main)
    assert [type(error) for error in caught.value.exceptions] == [ComputicleDied]
