"""What a fork server imports before all else: it ends with the process that started it.

Nor do libraries that it imports start threads: there is a process for each core.
"""

import os

from tasks.contracts.parent import die_with_parent

die_with_parent()
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
