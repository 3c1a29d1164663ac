"""Give a queue to the workers of an executor, which report through it.

Example: python executor.py
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor

try:
    from ipcqueue import posixmq
except ImportError as error:
    sys.exit(f"{error}; the section Install of ipcqueue's README says how to install it")

progress = None


def keep(queue):
    global progress
    progress = queue


def square(number):
    progress.put(f"{number} taken")
    return number * number


if __name__ == "__main__":
    argparse.ArgumentParser(usage=f"%(prog)s\n\n{__doc__}").parse_args()
    with posixmq.Queue.anonymous() as queue:
        with ProcessPoolExecutor(2, initializer=keep, initargs=(queue,)) as pool:
            squares = pool.map(square, range(3))
            print(sorted(queue.get() for _ in range(3)))
            print(list(squares))
