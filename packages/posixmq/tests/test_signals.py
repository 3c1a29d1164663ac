"""What a POSIX queue does with on_signal="raise"; see common/test_signals.py for the rest."""

import signal

from harness.tasks import read, until


def test_being_stopped_and_continued_is_no_interruption(make, address, spawn):
    q = make(address)
    process = spawn("print(Queue(address()).get(timeout=100))", address).until_asleep()

    def is_stopped():
        return read(f"{process.task}/stat").rpartition(")")[2].split()[0] == "T"

    process.send_signal(signal.SIGSTOP)
    until(is_stopped)
    process.send_signal(signal.SIGCONT)
    until(lambda: not is_stopped())
    process.until_asleep()
    q.put("there")
    assert process.finish() == "there"
