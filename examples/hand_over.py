"""Give queues to processes that multiprocessing starts: jobs go to them, squares come back.

Example: python hand_over.py
"""

import argparse
import multiprocessing
import sys

try:
    from ipcqueue import posixmq
except ImportError as error:
    sys.exit(f"{error}; the section Install of ipcqueue's README says how to install it")


def square(jobs, results):
    for number in iter(jobs.get, None):
        results.put(number * number)


if __name__ == "__main__":
    argparse.ArgumentParser(usage=f"%(prog)s\n\n{__doc__}").parse_args()
    context = multiprocessing.get_context("spawn")
    with posixmq.Queue.anonymous() as jobs, posixmq.Queue.anonymous() as results:
        workers = [context.Process(target=square, args=(jobs, results)) for _ in range(2)]
        for worker in workers:
            worker.start()
        for number in range(5):
            jobs.put(number)
        for _ in workers:
            jobs.put(None)
        print(sorted(results.get() for _ in range(5)))
        for worker in workers:
            worker.join()
