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

# Each takes what there is; a DecodeError holds its message.
CALLS = {
    "get": "[queue_.get_nowait()]",
    "receive": "[queue_.receive(False).item]",
    "iterate": "[next(queue_)]",
    "get_many": "queue_.get_many(block=False)",
}

RUN = """
    from pickle import loads
    queue_ = family.open(address, serializer={serializer})
    refused = []
    def collect(got, hoard):
        errors = 0
        while not queue_.empty():
            try:
                got += {call}
            except family.module.DecodeError as error:
                refused.append(error)
                errors += 1
            except (MemoryError, family.module.QueueError) as error:
                assert isinstance(error, MemoryError) or error.errno == error.NO_SYSTEM_RESOURCES
                errors += 1
                hoard.pop()  # a little more than before
        return errors
    ready()
    got = []
    hoard = starve({smallest})
    errors = collect(got, hoard)
    feed(hoard)
    for error in refused:
        got += error.items
        got += [loads(each.data) for each in error.failures or [error]]
    family.let_go(queue_)
    print(errors, len(refused), *(item[0] for item in got))
"""


@pytest.mark.parametrize("kind", ["RawSerializer", "PickleSerializer"], ids=["raw", "pickle"])
@pytest.mark.parametrize("smallest", [3000, 600])
@pytest.mark.parametrize("call", CALLS)
def test_no_message_is_lost_for_want_of_memory(
    call_in_process, family, address, figures, fill, call, smallest, kind
):
    made = family.make(address, serializer=getattr(family.module, kind))
    body = bytes(4000)
    took = fill(made, lambda n: bytes([n]) + body if kind == "RawSerializer" else (n, body))
    run = RUN.format(call=CALLS[call], smallest=smallest, serializer=f"family.module.{kind}")
    script = call_in_process(STARVE + run, family, address)
    errors, refused, *numbers = map(int, script.result())
    figures(
        f"{took} messages, {errors} times no memory ({refused} DecodeErrors), "
        f"{len(numbers)} received"
    )
    family.let_go(made)
    assert errors > 0, "memory never lacked: this proves nothing"
    assert sorted(numbers) == list(range(took))
