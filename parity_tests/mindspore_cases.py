"""Models of the zoo as modules of MindSpore, for the tests of these modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

import acz
from acz.model.spec import Spec
from acz.parity.cases import cases
from acz.reference.samples import Case


def case_of(model: str) -> Case:
    return next(case for case in cases(model) if case.model == model)


def case_without_dropout(model: str) -> Case:
    """The case of a model whose layers keep every value in training."""

    def kept(tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        rates = {"dropout", "score_dropout"} if "type" in tree else set()
        return {key: 0.0 if key in rates else kept(value) for key, value in tree.items()}

    case = case_of(model)
    return replace(case, spec=Spec.from_dict(kept(case.spec.to_dict())))


def inputs_of(case: Case, kind: str = "padded") -> dict[str, Any]:
    """A batch of tensors, in float32."""
    from mindspore import Tensor

    inputs = case.batch(kind if kind in case.names else "plain").inputs
    return {
        key: Tensor(value if value.dtype in (bool, np.uint8) else value.astype(np.float32))
        for key, value in inputs.items()
    }


def module_of(case: Case, **settings: Any) -> Any:
    return acz.build(case.spec, "mindspore", case.parameters, **settings)


@contextmanager
def mode(graph: bool) -> Iterator[None]:
    import mindspore as ms

    before = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE if graph else ms.PYNATIVE_MODE)
    try:
        yield
    finally:
        ms.set_context(mode=before)


def inside(module: Any, form: str) -> Any:
    """A cell of a user's that calls a module in one of the three forms."""
    from mindspore import nn

    class Outer(nn.Cell):
        def __init__(self) -> None:
            super().__init__(auto_prefix=False)
            self.module, self.form = module, form

        def construct(self, x: Any, mask: Any) -> Any:
            if self.form == "bare":
                return self.module(x)
            if self.form == "names":
                return self.module(features=x, features_mask=mask)
            return self.module({"features": x, "features.mask": mask})

    return Outer()


def error_of(call: Callable[[], Any]) -> str:
    try:
        call()
    except acz.AczError as error:
        return f"{type(error).__name__}: {error}"
    return "no error"
