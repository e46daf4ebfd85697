"""os.fork in a helper thread: in the child it is a thread like any other, and the only one."""

import pytest

from tests.process.children import ended


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("return", []),
        ("raise ValueError('mine')", ["ValueError: mine"]),
    ],
)
@pytest.mark.parametrize("inside_run", [True, False])
def test_a_child_ends_where_the_function_does(end: str, said: list[str], inside_run: bool) -> None:
    # It holds the pipe until it has ended; a helper without work would live for ten seconds more.
    status, lines, errors = ended(f"""
def forking():
    if pid := os.fork():
        return pid
    os.close(held)
    {end}

def main():
    pid = offload(forking)
    os.close(hold)
    with move_on_after(8) as hang:
        say(offload(os.read, held, 1))
    say("hung" if hang.expired else "ended")
    os.waitpid(pid, 0)
    say(offload(lambda: "the helpers go on"))

held, hold = os.pipe()
{"run(main)" if inside_run else "main()"}
""")
    assert (status, lines) == (0, ["b''", "ended", "the helpers go on"])
    assert errors.splitlines()[-1:] == said
