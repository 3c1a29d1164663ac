"""SIGKILL at random moments: what a process had in its hand may be gone, and nothing else."""

import time

import pytest
from crew import Crew, count

WORKERS = 4  # producers, and as many consumers
EVERY = 300  # messages of a worker that dies, on average, since the death before


def run_crew(family, address, folder, times, puts, gets):
    """Have a crew move messages until each of its members was killed and replaced so many times."""
    with Crew(family, address, folder) as crew:
        for _ in range(WORKERS):
            crew.add_producer(puts)
            crew.add_consumer(gets)
        started = time.monotonic()
        crew.start()
        crew.harm(crew.kill_and_replace, times, EVERY)
        crew.stop()
        return count(crew), time.monotonic() - started


@pytest.mark.parametrize(
    ("puts", "gets"),
    [("put,timed,polled", "get,timed,polled"), ("many,put", "many,into,receive")],
    ids=["single", "batches"],
)
def test_only_what_a_killed_process_had_in_its_hand_is_missing(
    family, address, tmp_path, full, figures, puts, gets
):
    times = 25 if full else 2
    result, seconds = run_crew(family, address, tmp_path, times, puts, gets)
    figures(f"{result}; {seconds:.1f} s")
    result.check()
    assert result.kills == times * 2 * WORKERS
