"""When the spin is given up: where a yield of the CPU costs more than a sleep, or messages are rare.

A library that is loaded beforehand calls a function of the test's instead of sched_yield(2), and says
how many CPUs there are. So the test decides how long a yield lasts, what it brings, and whether more
programs want to run than there are CPUs, on any machine.
"""

import os
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="with one CPU nobody spins"
)

LIBRARY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <unistd.h>

void (*volatile during_yield)(void) = NULL;
volatile long cpus = 1000000;

int
sched_yield(void)
{
    if (during_yield != NULL) {
        during_yield();
    }
    return 0;
}

long
sysconf(int name)
{
    long (*next)(int) = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");

    return name == _SC_NPROCESSORS_ONLN ? cpus : next(name);
}
"""

SCRIPT = """
import ctypes

library = ctypes.CDLL(os.environ["LD_PRELOAD"].split()[-1])
cpus = ctypes.c_long.in_dll(library, "cpus")
LONG = 0.002  # seconds: more than partners need to yield in their turn
yields = 0
seconds, brings = 0, False  # how long a yield lasts, and whether there is a message after it


@ctypes.CFUNCTYPE(None)
def during_yield():
    global yields
    yields += 1
    time.sleep(seconds)
    if brings:
        q.put("a message")


hook = ctypes.c_void_p.in_dll(library, "during_yield")
hook.value = ctypes.cast(during_yield, ctypes.c_void_p).value


def spins(a_yield_lasts, and_brings=True):
    '''Wait once, and return whether that spun.'''
    global seconds, brings
    seconds, brings = a_yield_lasts, and_brings
    before = yields
    try:
        q.get(timeout=0.01)
    except queue.Empty:
        pass
    return yields > before


def lose_three_times():
    return spins(LONG) and spins(LONG) and spins(LONG)


def show(claim, spin_us=1_000_000):
    '''Try with new queue objects: something else may take the CPU in the midst of it.'''
    global q
    for _ in range(20):
        with open_queue(sys.argv[1], spin_us=spin_us) as q:
            if claim():
                return
    raise AssertionError("it never did")


"""


@pytest.fixture
def beside(run, make, address, tmp_path):
    """Run a script that decides what happens during a yield."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        pytest.skip("needs a C compiler")
    source, library = tmp_path / "yield.c", tmp_path / "yield.so"
    source.write_text(LIBRARY)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    make(address)
    preloaded = f"{os.environ.get('LD_PRELOAD', '')} {library}".strip()
    return lambda code: run(SCRIPT + code, address, LD_PRELOAD=preloaded)


def test_yields_after_which_a_message_has_waited_end_the_spin(beside):
    beside("show(lambda: lose_three_times() and not spins(0) and not spins(0))")


def test_the_spin_comes_back_within_a_tenth_of_a_second(beside):
    beside(
        """
def comes_back():
    lost = lose_three_times()
    time.sleep(0.1)
    return lost and all(spins(0) for _ in range(10))

show(comes_back)
"""
    )


def test_a_spin_that_comes_back_to_long_yields_ends_at_once(beside):
    beside(
        """
def ends_again():
    lost = lose_three_times()
    time.sleep(0.1)
    return lost and spins(LONG) and not spins(0)

show(ends_again)
"""
    )


def test_the_spin_does_not_come_back_while_more_programs_run_than_there_are_cpus(beside):
    beside(
        """
def waits_until_there_are_cpus():
    lost = lose_three_times()
    cpus.value = 0  # this program alone is one too many
    time.sleep(0.1)
    stayed_away = not spins(0)
    cpus.value = 1_000_000
    time.sleep(0.1)
    return lost and stayed_away and spins(0)

show(waits_until_there_are_cpus)
"""
    )


def test_where_too_many_programs_run_from_the_beginning_two_lost_yields_end_the_spin(beside):
    beside(
        """
def ends_early():
    return spins(LONG) and spins(LONG) and not spins(0)

cpus.value = 0
show(ends_early)
"""
    )


def test_yields_after_which_others_have_taken_everything_are_those_of_partners(beside):
    """Two losses, and then none, many times: three in all would end the spin for 80 ms."""
    beside(
        """
def goes_on():
    for _ in range(5):
        if not (spins(LONG) and spins(LONG) and spins(LONG, and_brings=False)):
            return False
        spins(0)  # it does not: a wait is spared the spin after one that missed
    return True

show(goes_on)
"""
    )


def test_where_messages_come_rarely_hardly_any_wait_spins(beside):
    beside(
        """
def stops_spinning():
    for _ in range(3):
        threading.Timer(0.02, q.put, ["a message"]).start()
        q.get(timeout=60)
    return not any(spins(0, and_brings=False) for _ in range(12))

show(stops_spinning, spin_us=50)
"""
    )
