"""Run a command; print its time, CPU time and peak memory as JSON: ``launch.py COMMAND …``.

A process of its own and a small one: the kernel's figure for the peak of a child's memory is never
below that of the process which started it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time

begin = time.perf_counter()
done = subprocess.run(sys.argv[1:], check=False, stdout=sys.stderr)
spent = time.perf_counter() - begin
used = resource.getrusage(resource.RUSAGE_CHILDREN)
# Linux counts in KiB.
figures = {"seconds": spent, "cpu": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss * 1024}
print(json.dumps(figures), flush=True)
os._exit(done.returncode)
