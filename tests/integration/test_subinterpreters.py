"""Both packages in two interpreters, each with a GIL of its own, at the same time."""

import os
import subprocess
import sys
import uuid

import pytest

# A process of its own: what an interpreter leaves behind must not meet the other tests.
SCRIPT = """
import sys, threading
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

def create():
    try:
        return interpreters.create("isolated")
    except TypeError:
        return interpreters.create(isolated=True)

def run(number, code):
    problem = interpreters.run_string(number, code)
    if problem:
        failures.append(problem)

failures = []
name, there, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
import ipcqueue.posixmq, ipcqueue.sysvmq
request = ipcqueue.posixmq.Queue(name, 2, 64)
reply = ipcqueue.sysvmq.Queue(there)
open_both = f'''
from ipcqueue import posixmq, sysvmq
request = posixmq.Queue({name!r}, create=False)
reply = sysvmq.Queue({there}, create=False)
'''
client = open_both + f'''
for number in range({rounds}):
    request.put(number, timeout=60)
    assert reply.get(timeout=60, msg_type=number + 1) == number * 2
request.close(); reply.detach()
'''
server = open_both + f'''
for _ in range({rounds}):
    number = request.get(timeout=60)
    reply.put(number * 2, msg_type=number + 1)
request.close(); reply.detach()
'''
try:
    numbers = [create(), create()]
    for number in numbers:
        # Python 3.12 hangs where a thread imports C modules into an interpreter, and the first
        # queue imports some.
        run(number, open_both + "request.close(); reply.detach()")
    threads = [
        threading.Thread(target=run, args=job) for job in zip(numbers, (client, server))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = request.qsize(), reply.qsize()
finally:
    request.unlink(); request.close(); reply.close()
assert not failures, failures
assert left == (0, 0), left
print("exchanged")
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a GIL of one's own came with Python 3.12")
def test_two_interpreters_exchange_messages_through_both_kinds_of_queue():
    token = uuid.uuid4().int
    command = [sys.executable, "-I", "-c", SCRIPT, f"/meta-{os.getpid()}-{token & 0xFFFFFF:x}"]
    command += [str(token >> 8 & 0x7FFFFFFF), "500"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert (done.stdout, done.stderr, done.returncode) == ("exchanged\n", "", 0)
