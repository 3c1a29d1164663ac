"""Work on the queue that systemd opened: print each job until the job "stop" comes.

systemd starts this program when a message comes; jobs.socket and jobs.service tell it to.

Example: systemctl start jobs.socket
"""

import argparse
import json
import sys

try:
    from ipcqueue import posixmq
except ImportError as error:
    sys.exit(f"{error}; the section Install of ipcqueue's README says how to install it")

parser = argparse.ArgumentParser(usage=f"%(prog)s\n\n{__doc__}")
parser.parse_args()
queues = posixmq.listen_queues(serializer=json)
if len(queues) != 1:
    parser.error(f"systemd should pass one queue to this program, and passed {len(queues)}")
((name, jobs),) = queues
with jobs:
    for job in iter(jobs.get, "stop"):
        print(name, job, flush=True)
