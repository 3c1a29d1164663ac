"""The harness of both packages' tests: one vocabulary for both kinds of queue.

What differs between the kinds stands in each package's tests/kind.py, under the same names. Its
conftest.py puts that folder and this one's parent on sys.path and takes the fixtures of plugin.py.

| module   | holds                                                                   |
| -------- | ----------------------------------------------------------------------- |
| tasks    | the states of threads and processes, seen in /proc; waiting for a state |
| calls    | Call: a call in a thread of its own                                     |
| children | Child: an unrelated Python process on a script                          |
| process  | this process as others see it: user, capabilities, descriptors, signals |
| measure  | times, effort and growth, on a machine that may be busy                 |
| errors   | what a refused call raised                                              |
| ways     | the ways to wait in a queue                                             |
| aio      | tasks in event loops                                                    |
| serial   | serializers that a test makes of two functions                          |
| queues   | a queue as the kernel sees it, and the end of a handle                  |
| faults   | system calls and malloc that fail                                       |
| interp   | interpreters with a GIL of their own, for scripts                       |
| script   | the names that every script finds                                       |
| plugin   | pytest's hooks and the fixtures                                         |

Only plugin, children and measure import pytest, so that scripts start quickly.
"""
