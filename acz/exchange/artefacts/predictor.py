"""An artefact in its runtime as a predictor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from acz.backend.signature import OUTPUT, form_of
from acz.evaluation.predictor import Best, Predictor, select_best
from acz.exchange.artefacts.formats import Maker
from acz.exchange.artefacts.runtime import Runtime, carried_spec
from acz.exchange.artefacts.verify import as_ports
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError


@contextmanager
def artefact_predictor(maker: Maker, path: Path, threads: int) -> Iterator[Predictor]:
    """An artefact of a format in its runtime, in a process of its own.

    Raises:
        MissingError: what runs the format is not installed.
        DataError: the artefact carries no spec.
    """
    maker.require_installed()
    with Runtime(maker.name, maker.scripts()[""], threads, maker.python) as runtime:
        _, about = runtime.run(path, {})
        spec, masks = carried_spec(path, about["metadata"]), form_of(about["metadata"]).masks

        def best(inputs: Mapping[str, Array], count: int) -> Best:
            padded = [key for key, value in inputs.items() if key.endswith(".mask") and not value.all()]
            if padded and masks == "none":
                raise DataError(
                    f"{path} takes no masks, and these videos differ in length or have padding ('{padded[0]}'); "
                    "read them one by one, or export the model with --masks bool or uint8"
                )
            outputs = runtime.run(path, {"batch": as_ports(spec, inputs, masks)})[0]["batch"]
            return select_best(outputs[OUTPUT], count)

        yield Predictor(spec, best)
