"""Give a queue to the workers of an executor, which report through it: python executor.py"""

from concurrent.futures import ProcessPoolExecutor

from ipcqueue import posixmq

progress = None


def keep(queue):
    global progress
    progress = queue


def square(number):
    progress.put(f"{number} taken")
    return number * number


if __name__ == "__main__":
    with posixmq.Queue.anonymous() as queue:
        with ProcessPoolExecutor(2, initializer=keep, initargs=(queue,)) as pool:
            squares = pool.map(square, range(3))
            print(sorted(queue.get() for _ in range(3)))
            print(list(squares))
