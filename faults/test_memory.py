"""No memory left in the middle of work: MemoryError, and no message is lost by it."""

import pytest

# Leaves blocks of this size and larger not to be had; what is smaller may be.
STARVE = """
    def starve(smallest):
        hoard = []
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), hard))
        size = 1 << 20
        while size >= smallest:
            try:
                hoard.append(bytearray(size))
            except MemoryError:
                size = size * 3 // 4
        return hoard

    def feed(hoard):
        hoard.clear()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
"""

# Each returns the items that it received, if any; a DecodeError holds its message.
CALLS = {
    "get": "lambda: [queue_.get_nowait()]",
    "receive": "lambda: [queue_.receive(False)[0]]",
    "iterate": "lambda: [next(iter(queue_))]",
    "get_many": "lambda: queue_.get_many(block=False)",
}

RUN = """
    from pickle import loads
    queue_ = family.open(address, serializer={serializer})
    call = {call}
    def collect(hoard):
        got, errors = [], 0
        while not queue_.empty():
            try:
                got.extend(call())
            except family.module.DecodeError as error:
                got.extend(error.items or ())
                for each in error.failures or [error]:
                    spare = hoard.pop() if hoard else None
                    del spare
                    got.append(loads(each.data))
                errors += 1
            except MemoryError:
                errors += 1
                hoard and hoard.pop()
        return got, errors
    ready()
    hoard = starve({smallest})
    got, errors = collect(hoard)
    feed(hoard)
    numbers = [item[0] for item in got]
    family.let_go(queue_)
    print(errors, *numbers)
"""


@pytest.mark.parametrize(
    "serializer", ["family.module.RawSerializer", "None"], ids=["raw", "pickle"]
)
@pytest.mark.parametrize("smallest", [3000, 600])
@pytest.mark.parametrize("call", CALLS)
def test_no_message_is_lost_for_want_of_memory(
    call_in_process, family, address, figures, fill, call, smallest, serializer
):
    if not hasattr(family.module.Queue, "get_many") and call in ("receive", "get_many", "iterate"):
        pytest.skip("not there yet")
    made = family.make(
        address, serializer=None if serializer == "None" else family.module.RawSerializer
    )
    body = bytes(4000)
    took = fill(made, lambda n: (n, body) if serializer == "None" else bytes([n]) + body)
    code = STARVE + RUN.format(call=CALLS[call], smallest=smallest, serializer=serializer)
    script = call_in_process(code, family, address)
    errors, *numbers = map(int, script.result())
    figures(f"{took} messages, {errors} times no memory, {len(numbers)} received")
    family.let_go(made)
    assert errors > 0, "memory never lacked: this proves nothing"
    assert sorted(numbers) == list(range(took))
