"""Reserved names of streams, inputs and layers. A backend reserves further names in its BackendInfo."""

from __future__ import annotations

import keyword

PYTHON = frozenset(keyword.kwlist)
"""Python's keywords: names of streams and layers become attributes, and names of inputs become keyword arguments."""

STREAMS = frozenset("trunk logits output input inputs labels".split())
"""Names that a stream or an input cannot have, because paths, results and batches use them."""
