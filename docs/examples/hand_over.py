"""Give queues to processes that multiprocessing starts: python hand_over.py"""

import multiprocessing

from ipcqueue import posixmq


def square(jobs, results):
    for number in iter(jobs.get, None):
        results.put(number * number)


if __name__ == "__main__":
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
