"""os.fork: the child goes on with the forking fiber alone, and the parent notices nothing."""

import signal

import pytest

from tests.process.children import ended

# Children of the child say what they find through their status, or on the same output, before the parent goes on.
FORK = """
import socket

def fork(fn, *args):
    \"\"\"Run fn in a forked child, which ends where fn does; its status.\"\"\"
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(offload(os.waitpid, pid, 0)[1])
    try:
        fn(*args)
    except BaseException as error:
        say("child failed:", repr(error))
        os._exit(99)
    os._exit(0)

def other():
    try:
        sleep(3600)
    finally:
        say("cleaned up in", "parent" if os.getpid() == parent else "child")

parent = os.getpid()
"""


@pytest.mark.parametrize("where", ["run(main)", "run(lambda: spawn(main).join())", "main()", "spawn(main).join()"])
def test_the_child_has_a_kernel_of_its_own_with_the_forking_fiber_alone(where: str) -> None:
    assert ended(f"""{FORK}
def child():
    say([fiber.name for fiber in fibers()] == [current().name], len(fibers()))
    say(gather(lambda: sleep(0.001) or 1, lambda: 2))
    spawn(lambda: say("spawned in the child")).join()
    with move_on_after(0.001):
        sleep(3600)
    wait_for(lambda: True)
    say(offload(lambda: "offloaded in the child"))

def main():
    fiber = spawn(other)
    spawn(sleep, 3600, name="other2")
    offload(int)  # makes a helper thread
    yield_()
    say(fork(child))
    fiber.cancel()
    sleep(0)
    say("parent goes on")
    os._exit(0)

{where}
""") == (
        0,
        [
            "True 1",
            "[1, 2]",
            "spawned in the child",
            "offloaded in the child",
            "0",
            "cleaned up in parent",
            "parent goes on",
        ],
        "",
    )


@pytest.mark.parametrize("where", ["run(main)", "main()"])
def test_a_child_of_main_may_end_as_programs_do(where: str) -> None:
    # The dropped fibers' finally blocks do not run, not even at the child's end.
    assert ended(f"""{FORK}
def main():
    spawn(other)
    yield_()
    pid = os.fork()
    if pid == 0:
        spawn(lambda: sleep(0.001) or say("spawned in the child"))
        return
    say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    current().scope.cancel()

{where}
say("end of", "parent" if os.getpid() == parent else "child")
""").lines == [
        *(
            ["spawned in the child", "end of child"]
            if where == "run(main)"
            else ["end of child", "spawned in the child"]
        ),
        "0",
        *(
            ["cleaned up in parent", "end of parent"]
            if where == "run(main)"
            else ["end of parent", "cleaned up in parent"]
        ),
    ]


def test_a_child_of_main_in_scopes_leaves_them_without_the_dropped() -> None:
    assert ended(f"""{FORK}
def main():
    with scope() as outer:
        outer.spawn(other)
        with fail_after(3600), scope() as inner:
            inner.spawn(other)
            yield_()
            pid = os.fork()
            if pid:
                say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                stop()
            else:
                inner.spawn(lambda: say("inner"))
        spawn(lambda: say("outer"))
    spawn(lambda: say("run"))

run(main)
say("end of", "parent" if os.getpid() == parent else "child")
""") == (
        0,
        ["inner", "outer", "run", "end of child", "0", *["cleaned up in parent"] * 2, "end of parent"],
        "",
    )


def test_a_deadline_around_the_fork_holds_in_the_child() -> None:
    assert ended(f"""{FORK}
def main():
    with move_on_after(0.01) as deadline:
        pid = os.fork()
        if pid == 0:
            sleep(3600)
        os.waitpid(pid, 0)
    if pid == 0:
        say("cut short", deadline.expired)

run(main)
""") == (0, ["cut short True"], "")


def test_a_run_in_a_thread_with_a_kernel_goes_back_to_the_flow_around_it() -> None:
    assert ended(f"""{FORK}
with scope() as s:
    s.spawn(other)
    sleep(0)
    pid = run(os.fork)
    if pid:
        os.waitpid(pid, 0)
        s.cancel()
    else:
        s.spawn(lambda: sleep(0.001) or say("in the flow's scope"))
        say(run(lambda: gather(lambda: 42)))
say("end of", "parent" if os.getpid() == parent else "child")
""") == (0, ["[42]", "in the flow's scope", "end of child", "cleaned up in parent", "end of parent"], "")


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        ("return", 0, []),
        ("sys.exit(3)", 3, []),
        ("sys.exit()", 0, []),
        ("sys.exit('a message')", 1, ["a message"]),
        ("raise KeyboardInterrupt", 130, []),
        ("raise ValueError('mine')", 1, ["ValueError: mine"]),
    ],
)
@pytest.mark.parametrize("inside_run", [True, False])
def test_a_child_of_a_fiber_ends_with_it(end: str, status: int, said: list[str], inside_run: bool) -> None:
    status_of_all, lines, errors = ended(f"""{FORK}
import atexit
atexit.register(lambda: say("exit hook of", "parent" if os.getpid() == parent else "child"))

def forking():
    pid = os.fork()
    if pid:
        return pid
    spawn(lambda: sleep(0.001) or say("spawned in the child")) if {status == 0} else None
    print("buffered")
    {end}

def main():
    fiber = spawn(other)
    yield_()
    pid = spawn(forking).join()
    say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    fiber.cancel()

{"run(main)" if inside_run else "main()"}
""")
    assert status_of_all == 0
    assert errors.splitlines()[-1:] == said
    in_child = ["buffered", "spawned in the child"] if status == 0 else ["buffered"]
    assert lines[:-2] == [*in_child, str(status)]
    assert sorted(lines[-2:]) == ["cleaned up in parent", "exit hook of parent"]


def test_streams_are_unusable_in_the_child_and_undisturbed_in_the_parent() -> None:
    assert ended(f"""{FORK}
def main():
    path = os.path.join("/tmp" if os.path.isdir("/tmp") else ".", f"computicle-fork-{{os.getpid()}}")
    with listen(path=path) as listener, connect(path=path) as stream, listener.accept() as other:
        receiver = spawn(other.recv, 10)
        yield_()

        def child():
            for word in (lambda: stream.recv(1), lambda: stream.sendall(b"x"), stream.readline, listener.accept):
                try:
                    word()
                except (ClosedError, RuntimeError) as error:
                    say(type(error).__name__)
            stream.close()
            listener.close()

        say(fork(child))
        stream.sendall(b"unharmed")
        say(receiver.join(), os.path.exists(path))

run(main)
""") == (0, ["ClosedError"] * 4 + ["0", "b'unharmed' True"], "")


def test_the_parents_wake_ups_and_events_are_its_own() -> None:
    assert ended(f"""{FORK}
def child():
    with listen(0) as listener, connect("127.0.0.1", listener.port) as stream, listener.accept() as other:
        spawn(other.sendall, b"child")
        say(stream.recv(10))
    signal.raise_signal(signal.SIGINT)
    try:
        sleep(3600)
    except KeyboardInterrupt:
        say("interrupted")

def main():
    with listen(0) as listener, connect("127.0.0.1", listener.port) as stream, listener.accept() as other:
        receiver = spawn(other.recv, 10)
        yield_()
        for _ in range(3):
            say(fork(child))
        stream.sendall(b"parent")
        say(receiver.join(), offload(lambda: "offloaded"))
    signal.raise_signal(signal.SIGINT)
    sleep(3600)

try:
    run(main)
except KeyboardInterrupt:
    say("interrupted")
""") == (0, ["b'child'", "interrupted", "0"] * 3 + ["b'parent' offloaded", "interrupted"], "")


def test_a_child_leaves_no_descriptors_of_the_parents_open() -> None:
    assert ended(f"""{FORK}
def child():
    before = set(os.listdir("/proc/self/fd"))
    run_in_child = [offload(int)]
    streams = [fd for fd in before if os.path.exists("/proc/self/fd/" + fd)
               and os.readlink("/proc/self/fd/" + fd).startswith(("socket:", "anon_inode"))]
    say(len(streams))  # the new kernel's epoll and its bell

def main():
    listener = listen(0)
    streams = [connect("127.0.0.1", listener.port) for _ in range(5)]
    say(fork(child))
    for end in (listener, *streams):
        end.close()

if os.path.isdir("/proc/self/fd"):
    run(main)
else:
    say(3); say(0)
""") == (0, ["3", "0"], "")


@pytest.mark.parametrize("where", ["offload(forking)", "in_thread(forking)", "in_thread(lambda: run(forking))"])
@pytest.mark.parametrize("inside_run", [True, False])
def test_a_child_of_any_thread_holds_no_socket_of_the_parents(where: str, inside_run: bool) -> None:
    # The child lives until the parent lets go of the pipe that it reads from.
    assert ended(f"""{FORK}
def forking():
    pid = os.fork()
    if pid:
        return pid
    try:
        os.close(hold)
        os.read(held, 1)
    finally:
        os._exit(42)

def in_thread(fn):
    returned = []
    thread = threading.Thread(target=lambda: returned.append(fn()))
    thread.start()
    thread.join()
    return returned[0]

def main():
    with listen(0) as listener, connect("127.0.0.1", listener.port) as stream, listener.accept() as peer:
        pid = {where}
        stream.close()
        with move_on_after(20) as hang:
            say(peer.recv())
        say(os.waitpid(pid, os.WNOHANG) == (0, 0), hang.expired)
        os.close(hold)
        say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

held, hold = os.pipe()
{"run(main)" if inside_run else "main()"}
""") == (0, ["b''", "True False", "42"], "")


def test_children_of_children() -> None:
    assert ended(f"""{FORK}
def descend(level):
    say(level, len(fibers()))
    spawn(other)
    yield_()
    if level:
        assert fork(descend, level - 1) == 0

def main():
    descend(3)
    stop()

run(main)
""") == (0, ["3 1", "2 1", "1 1", "0 1", "cleaned up in parent"], "")


def test_a_thread_without_a_kernel_forks_beside_a_kernel() -> None:
    assert ended(f"""{FORK}
def in_thread():
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        say(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.set_wakeup_fd(-1))
        say(run(lambda: gather(lambda: 42)))
    finally:
        os._exit(0)

def main():
    fiber = spawn(other)
    yield_()
    say(offload(in_thread))
    fiber.cancel()

run(main)
""") == (0, ["True -1", "[42]", "0", "cleaned up in parent"], "")


def test_a_fork_in_a_thread_with_a_kernel() -> None:
    assert ended(f"""{FORK}
def work():
    fiber = spawn(other)
    yield_()
    say(fork(lambda: say(gather(lambda: sleep(0.001) or 42))))
    fiber.cancel()

def main():
    fiber = spawn(other)
    yield_()
    offload(lambda: (thread.start(), thread.join()))
    fiber.cancel()

thread = threading.Thread(target=work)
run(main)
""") == (0, ["[42]", "0", "cleaned up in parent", "cleaned up in parent"], "")


def test_a_fork_in_a_predicate_ends_the_child_after_it() -> None:
    assert ended(f"""{FORK}
pids = []
def forking():
    if asked:
        pids.append(os.fork())
        return True

asked = []
def main():
    fiber = spawn(other)
    waiter = spawn(wait_for, forking)
    yield_()
    asked.append(1)
    waiter.join()
    for pid in pids:
        say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    fiber.cancel()

run(main)
say("end of", "parent" if os.getpid() == parent else "child")
""").lines[-2:] == ["cleaned up in parent", "end of parent"]


def test_a_child_that_is_told_to_end_before_it_has_begun_ends() -> None:
    """multiprocessing ends its children so, and waits for them."""
    assert ended(f"""{FORK}
from computicle.scheduler.interrupts import Interrupts

remove = Interrupts.remove

def remove_late(interrupts):
    if os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
    remove(interrupts)

Interrupts.remove = remove_late

def main():
    say(fork(lambda: None))
    say(signal.pthread_sigmask(signal.SIG_BLOCK, []))

run(main)
""") == (0, [str(-signal.SIGTERM), "set()"], "")


@pytest.mark.parametrize("inside_run", [True, False])
def test_multiprocessing_with_fork_works_from_a_fiber(inside_run: bool) -> None:
    assert ended(f"""{FORK}
import multiprocessing
context = multiprocessing.get_context("fork")

def work(number):
    return sum(gather(lambda: sleep(0.0001) or number, lambda: number))

def in_process(queue):
    queue.put(work(21))

def use():
    queue = context.SimpleQueue()
    process = context.Process(target=in_process, args=(queue,))
    process.start()
    say(offload(queue.get))
    offload(process.join)
    say(process.exitcode)
    with context.Pool(2) as pool:
        say(offload(pool.map, work, [1, 2, 3]))

def main():
    fiber = spawn(other)
    spawn(use).join()
    fiber.cancel()
    sleep(0)

{"run(main)" if inside_run else "main()"}
""") == (0, ["42", "0", "[2, 4, 6]", "cleaned up in parent"], "")


def test_a_child_keeps_what_is_local_to_the_fiber() -> None:
    assert ended("""
def main():
    local = FiberLocal()
    local.name = "mine"
    pid = os.fork()
    if pid == 0:
        say(local.name)
    else:
        os.waitpid(pid, 0)
spawn(main).join()
""").lines == ["mine"]
