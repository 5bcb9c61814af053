"""The table of figures: every number of an evaluation, and the figure that decides between two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A figure of an evaluation."""

    name: str
    """The key in results and logs."""
    label: str
    """The name that a reader sees."""
    percent: bool = True
    """True for a share, 0 .. 1."""
    higher_is_better: bool = True
    """True where a higher value is a better one."""
    several_labels: bool = False
    """True where only videos that may have several labels have it."""
    kept: bool = False
    """True where a run keeps it with its best epoch."""

    def is_better(self, value: float, than: float | None) -> bool:
        """True where a value is better than another, or where there is no other."""
        if than is None:
            return True
        return value > than if self.higher_is_better else value < than


FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure("top1", "top-1", kept=True),
        Figure("top5", "top-5"),
        Figure("hit_at_1", "Hit@1", several_labels=True),
        Figure("perr", "PERR", several_labels=True),
        Figure("map", "mAP", several_labels=True),
        Figure("gap", "GAP", several_labels=True, kept=True),
        Figure("map_at_k", "MAP@100,000", kept=True),
        Figure("loss", "loss", percent=False, higher_is_better=False),
    )
}
"""Every figure by name, in the order of tables and messages."""

HITS = {"top1": "Hit@1", "top5": "Hit@5"}
"""The names of top-1 and top-5 where videos have several labels: one of them is among the best classes."""
DECIDING = ("map_at_k", "gap", "top1")
"""Names of the figures that decide: where segments are rated, where videos have several labels, and else."""
SEVERAL_LABELS = tuple(figure.name for figure in FIGURES.values() if figure.several_labels)
"""Names of the figures that only videos with several labels have."""


def deciding(names: Iterable[str]) -> Figure:
    """Give the figure that decides which of two epochs or runs is better: the first of DECIDING that there is."""
    names = set(names)
    return FIGURES[next((name for name in DECIDING if name in names), DECIDING[-1])]


def in_words(figures: Mapping[str, float]) -> str:
    """Write figures for a reader, in order: `top-1 0.8512  loss 1.0321`.

    Top-1 and top-5 of videos with several labels are Hit@1 and Hit@5. Each is written once.
    """
    labels = {name: figure.label for name, figure in FIGURES.items() if figures.get(name) is not None}
    if any(name in labels for name in (*SEVERAL_LABELS, "map_at_k")):
        labels |= {name: label for name, label in HITS.items() if name in labels}
        if "top1" in labels:
            labels.pop("hit_at_1", None)
    return "  ".join(f"{label} {figures[name]:.4f}" for name, label in labels.items())
