"""An artefact in its runtime as a predictor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acz.evaluation.inference import Best, Predict
    from acz.foundation.arrays import Array
    from acz.model.spec import Spec


@contextmanager
def artefact_predictor(path: Path, threads: int) -> Iterator[tuple[Spec, Predict]]:
    """An artefact in its runtime, in a process of its own."""
    from acz.backend.signature import OUTPUT
    from acz.evaluation.inference import best_of
    from acz.exchange.artefacts.formats import find_format, format_of
    from acz.exchange.artefacts.runtime import Runtime, carried_spec
    from acz.exchange.artefacts.verify import as_ports

    kind = format_of(path)
    assert kind is not None
    with Runtime(find_format(kind.name), threads) as runtime:
        _, about = runtime.run(path, {})
        spec = carried_spec(path, about["metadata"])

        def predict(inputs: Mapping[str, Array], count: int) -> Best:
            return best_of(runtime.run(path, {"batch": as_ports(spec, inputs)})[0]["batch"][OUTPUT], count)

        yield spec, predict
