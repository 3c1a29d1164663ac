"""SIGKILL at random moments: what a process had in its hand may be gone, and nothing else."""

import time

import pytest
from crew import Crew, count

WORKERS = 4  # producers, and as many consumers
EVERY = 2500  # messages between two kills on average


def run_crew(family, address, folder, messages, puts, gets):
    """Have a crew move that many messages a producer while its members are killed and replaced."""
    with Crew(family, address, folder) as crew:
        for _ in range(WORKERS):
            crew.add_producer(messages, puts)
            crew.add_consumer(messages * WORKERS, gets)
        started = time.monotonic()
        crew.start()
        crew.harm(crew.kill_and_replace, EVERY)
        crew.stop()
        return count(crew, messages), time.monotonic() - started


@pytest.mark.parametrize(
    ("puts", "gets"),
    [("put,timed,polled", "get,timed,polled"), ("many,put", "many,into,receive")],
    ids=["single", "batches"],
)
def test_only_what_a_killed_process_had_in_its_hand_is_missing(
    family, address, tmp_path, full, figures, puts, gets
):
    messages = (500_000 if full else 40_000) // WORKERS
    result, seconds = run_crew(family, address, tmp_path, messages, puts, gets)
    figures(f"{result}; {seconds:.1f} s")
    result.check()
    assert result.kills >= 5, "too few to prove anything"
