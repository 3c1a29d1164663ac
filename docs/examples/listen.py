"""Work on the queue that systemd opened; see jobs.socket and jobs.service."""

import json

from ipcqueue import posixmq

((name, jobs),) = posixmq.listen_queues(serializer=json)
with jobs:
    for job in iter(jobs.get, "stop"):
        print(name, job, flush=True)
