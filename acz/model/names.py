"""Names that streams, inputs and layers can't have, whatever the backend. A backend's own words are in its BackendInfo."""

from __future__ import annotations

import keyword

PYTHON = frozenset(keyword.kwlist)
"""Names of streams and layers become attributes, and names of inputs keyword arguments."""

STREAMS = frozenset("trunk logits output input inputs labels".split())
"""Names that a stream or an input can't have: paths, results and batches use them."""
