"""Memory and descriptors stay flat, whatever is done however often."""

import pytest
from families import FAMILIES, Posix

# Does it so many times, a tenth of them to warm up, and prints what grew since.
MEASURE = """
    def needs():
        gc.collect()
        with open("/proc/self/smaps_rollup") as file:  # statm is off by some pages a CPU
            resident = next(int(line.split()[1]) for line in file if line.startswith("Rss:"))
        return resident, len(os.listdir("/proc/self/fd"))

    def measure(times, do):
        do(times // 10)
        before = needs()
        do(times - times // 10)
        print(*(after - value for after, value in zip(needs(), before)))
"""

OPENS = {
    "named": """
    def do(times):
        for _ in range(times):
            family.let_go(family.open(address))
    """,
    "made": """
    def do(times):
        for number in range(times):
            made = family.make(family.new_address())
            made.put(number)
            family.remove(made.name if family is Posix else str(made.key))
            made.close()
    """,
    "dropped": """
    import warnings
    warnings.simplefilter("ignore", ResourceWarning)
    def do(times):
        for _ in range(times):
            family.open(address)
    """,
    "private": """
    def do(times):
        for number in range(times):
            queue_ = Posix.module.Queue.anonymous(2, 64) if family is Posix else SysV.module.Queue()
            queue_.put(number)
            queue_.close()
    """,
    "refused": """
    def do(times):
        for _ in range(times):
            try:
                family.make(address)
            except family.module.QueueError as error:
                assert error.errno == error.EXISTS
    """,
}

MOVES = {
    "one by one": """
    def do(times):
        for number in range(times):
            queue_.put((number, "payload"))
            assert queue_.get() == (number, "payload")
    """,
    "with timeouts": """
    def do(times):
        for number in range(times // 10):
            for each in range(9):
                queue_.put(each, timeout=5)
            for each in range(9):
                assert queue_.get(timeout=5) == each
            try:
                queue_.get(timeout=1e-6)
            except queue.Empty:
                pass
    """,
    "between threads": """
    def do(times):
        def put():
            for number in range(times):
                queue_.put(number)
        thread = threading.Thread(target=put)
        thread.start()
        for number in range(times):
            assert queue_.get() == number
        thread.join()
    """,
    "in batches": """
    batch = [bytes([number]) * 60 for number in range(8)]
    buffer = bytearray(8192)
    def do(times):
        for number in range(times // 10):
            queue_.put_many(batch)
            assert queue_.get_many(8) == batch
            queue_.put(number)
            assert queue_.receive()[0] == number
            queue_.put(number)
            queue_.get_into(buffer)
    """,
    "undecodable": """
    def do(times):
        for number in range(times // 10):
            raw.put(b"no pickle")
            try:
                queue_.get()
            except family.module.DecodeError as error:
                assert error.data == b"no pickle"
    """,
}
MOST_GROWTH_KIB = 256


def check_flat(script, figures):
    growth, descriptors = map(int, script.result(600))
    figures(f"{growth} KiB and {descriptors} descriptors more after the warm-up")
    assert growth <= MOST_GROWTH_KIB
    assert descriptors == 0


@pytest.mark.parametrize("what", OPENS)
def test_opening_and_closing_leaves_nothing_behind(
    call_in_process, family, address, full, figures, what
):
    script = call_in_process(
        f"""{MEASURE}{OPENS[what]}
    made = family.make(address)
    ready()
    measure({5000 if full else 2000}, do)
    family.let_go(made)
    """,
        family,
        address,
    )
    check_flat(script, figures)


@pytest.mark.parametrize("what", MOVES)
@pytest.mark.parametrize("kind", [*FAMILIES, "anonymous"])
def test_messages_leave_nothing_behind(call_in_process, new_address, full, figures, kind, what):
    family = FAMILIES.get(kind, Posix)
    opened = (
        "Posix.module.Queue.anonymous(10, 5000)" if kind == "anonymous" else "family.make(address)"
    )
    raw = (
        "Posix.module.Queue.from_fd(os.dup(queue_.fileno()), serializer=Posix.module.RawSerializer)"
        if kind == "anonymous"
        else "family.open(address, serializer=family.module.RawSerializer)"
    )
    script = call_in_process(
        f"""{MEASURE}{MOVES[what]}
    queue_ = {opened}
    raw = {raw}
    ready()
    measure({2_000_000 if full else 100_000}, do)
    family.let_go(raw)
    family.let_go(queue_)
    """,
        family,
        new_address(family),
    )
    check_flat(script, figures)


def test_growth_is_noticed(call_in_process, address, family):
    """A broken queue that keeps 100 bytes a message and a descriptor every thousand."""
    script = call_in_process(
        f"""{MEASURE}
    kept = []
    def do(times):
        for number in range(times):
            kept.append(bytes(100))
            if number % 1000 == 0:
                kept.append(open(os.devnull))
    ready()
    measure(20_000, do)
    import warnings
    warnings.simplefilter("ignore")
    """,
        family,
        address,
    )
    growth, descriptors = map(int, script.result())
    assert growth > MOST_GROWTH_KIB
    assert descriptors == 18
