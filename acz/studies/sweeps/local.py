"""Trials on this machine, several at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from acz.foundation.errors import Interrupted
from acz.foundation.processes.interrupt import interruptible
from acz.foundation.progress import Progress
from acz.studies.sweeps.trial import Job, Outcomes, TrialProcess


def run_here(at_once: int, jobs: Sequence[Job], shown: Progress) -> Outcomes:
    """Run every job in a process of its own.

    Args:
        at_once: The number of trials that run at the same time.
        jobs: The jobs.
        shown: Progress by trial.

    Yields:
        The outcome of each trial when it has ended.

    Raises:
        Interrupted: Ctrl-C was pressed; all trials are saved.
    """
    waiting, running = deque(jobs), list[TrialProcess]()
    with interruptible() as interrupted:
        try:
            while waiting or running:
                if interrupted():
                    raise Interrupted("interrupted")
                while waiting and len(running) < at_once:
                    running.append(TrialProcess(waiting.popleft()))
                for process in list(running):
                    outcome = process.outcome()
                    if outcome is not None:
                        running.remove(process)
                        process.ask_to_end()
                        yield outcome
                names = ", ".join(process.job.name for process in running)
                shown("trials", len(jobs) - len(waiting) - len(running), len(jobs), names)
                time.sleep(0.1)
        finally:
            for process in running:
                process.ask_to_end()
            for process in running:
                process.end()
