"""Fuzz both packages: `nox -s fuzz` for half a minute, `nox -s fuzz -- --minutes 30` for longer.

| file | what it does |
| --- | --- |
| `machine.py` | Hypothesis drives several handles of real queues, in two processes, and compares every end of every call with a model; names, keys and ids come and go at any moment |
| `model.py` | the model: order, room and choice of both kinds of queue |
| `calls.py` | the calls, and the second process, which carries them out on command |
| `targets.py` | atheris makes arguments, payloads and sequences of calls out of bytes, led by the coverage of the Python; only documented exceptions may come out |

The time is shared equally. An example that fails is printed in its shortest form by Hypothesis; an
input that fails is kept by libFuzzer, and its path printed: `targets.py PATH` runs it again. The exit
status is 1 after a finding. Where atheris cannot be installed, its half goes to the state machines.

Every run prints its seed. `--seed N` makes the same choices again in the same order; how far it comes
depends on the machine. A state machine that fails prints the seed with which it fails at once.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # python -I leaves it off the path

SHORT_MINUTES = 0.5
STUCK_S = 30  # an input that takes longer is a finding
RSS_MIB = 1500


def run_machines(seconds: float, seed: int) -> int:
    """Run the state machines; return how many findings there are."""
    import machine

    findings = 0
    start = time.monotonic()
    try:
        machine.run(seconds, seed)
    except Exception:
        traceback.print_exc()
        findings = 1
    took = time.monotonic() - start
    for kind in machine.MACHINES:
        print(f"{kind.__name__}: {kind.examples:,} examples, {kind.steps:,} calls")
    print(f"state machines: {took:.0f} s, {findings} findings", flush=True)
    return findings


def run_targets(seconds: float, seed: int) -> int:
    """Run atheris in a process of its own, which a crash ends; return its findings."""
    corpus = tempfile.mkdtemp(prefix="fuzz-corpus-")
    options = [
        f"-seed={seed}",
        f"-max_total_time={max(1, round(seconds))}",
        f"-timeout={STUCK_S}",
        f"-rss_limit_mb={RSS_MIB}",
        "-max_len=2048",
        "-len_control=20",
        "-print_final_stats=1",
        f"-artifact_prefix={corpus}/finding-",
    ]
    command = [sys.executable, "-I", HERE / "targets.py", *options, corpus]
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    executed = re.search(r"stat::number_of_executed_units: *(\d+)", ended.stdout)
    reached = re.findall(r"cov: (\d+)", ended.stdout)
    findings = int(ended.returncode != 0)
    counts = f"{int(executed[1]):,} executions" if executed else "an unknown number of executions"
    kept = sum(1 for _ in os.scandir(corpus))
    print(
        f"atheris: {counts}, coverage {reached[-1] if reached else '?'}, {kept} inputs kept, "
        f"{findings} findings",
        flush=True,
    )
    if findings:
        print(ended.stdout[-6000:])
        print(f"atheris: see {corpus}, exit status {ended.returncode}", flush=True)
    else:
        shutil.rmtree(corpus)
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=SHORT_MINUTES)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), metavar="N")
    options = parser.parse_args()
    seconds, seed = 60 * options.minutes, max(1, options.seed)  # 0 is no seed to libFuzzer
    print(f"fuzz: --minutes {options.minutes} --seed {seed}", flush=True)
    findings = 0
    if importlib.util.find_spec("atheris"):
        seconds /= 2
        findings += run_targets(seconds, seed)
    else:
        print("atheris: not installed, no coverage-guided part", flush=True)
    findings += run_machines(seconds, seed)
    print(f"fuzz: {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
