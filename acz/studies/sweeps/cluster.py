"""Trials as tasks of a Ray cluster. A task has resources of its own, and is tried again where its worker is lost.

The folder and the data of a trial must lie on a file system that all nodes share. Then a lost trial resumes on another
node from its last checkpoint, and the results can be gathered here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acz.foundation.errors import Interrupted
from acz.foundation.processes.interrupt import interruptible
from acz.foundation.processes.ray_cluster import check_resources, joined_ray, options_of
from acz.foundation.progress import Progress
from acz.studies.sweeps.trial import GRACE, Job, Outcome, Outcomes, run_trial


def run_on_ray(
    address: str | None, resources: Mapping[str, float], retries: int, jobs: Sequence[Job], shown: Progress
) -> Outcomes:
    """Run every job on a Ray cluster.

    Args:
        address: The address of the cluster; None starts one on this machine.
        resources: The resources that a trial takes of a node.
        retries: The number of tries again of a trial whose worker or node is lost.
        jobs: The jobs.
        shown: Progress by trial.

    Yields:
        The outcome of each trial when it has ended.

    Raises:
        MissingError: Ray, the cluster or a resource is missing.
        Interrupted: Ctrl-C was pressed; all trials are saved.
    """
    with joined_ray(address) as ray:
        check_resources(ray.nodes(), resources, bool(address), "trials", shown)
        task = ray.remote(run_trial).options(max_retries=retries, **options_of(resources))
        yield from _outcomes(ray, {task.remote(job): job for job in jobs}, shown)


def _outcomes(ray: Any, pending: dict[Any, Job], shown: Progress) -> Outcomes:
    total = len(pending)
    with interruptible() as interrupted:
        try:
            while pending:
                if interrupted():
                    raise Interrupted("interrupted")
                finished, _ = ray.wait(list(pending), timeout=0.5)
                for reference in finished:
                    job = pending.pop(reference)
                    try:
                        outcome = ray.get(reference)
                    except ray.exceptions.RayError as error:
                        text = " ".join(str(error).split())
                        outcome = Outcome(job.name, f"its worker was lost: {type(error).__name__}: {text}")
                    yield outcome
                shown("trials", total - len(pending), total, "on Ray")
        finally:
            for reference in pending:
                ray.cancel(reference)
            if pending:
                ray.wait(list(pending), num_returns=len(pending), timeout=GRACE)
