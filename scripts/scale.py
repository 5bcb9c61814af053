"""The tables of docs/scale.md, for results.py: model 2 of YouTube-8M on 8, 64 and 512 devices.

They are computed from measured figures of docs/results, and from the figures that stand here in capitals.

python scripts/scale.py [--card TIMES]     prints the page, for a card with the speed of TIMES cores
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from acz.backend.processes import rows_of_rank
from acz.data.batching import BATCH
from acz.foundation.files.tables import markdown, read_csv, replace_table
from acz.zoo.config import load_config

ROOT = Path(__file__).parent.parent
MODEL = "youtube8m/attention_cluster"
DEVICES = (8, 64, 512)
OF_A_HOST = 8
"""Devices of a host."""
VIDEOS, VALIDATION, EVERY_SPLIT, BYTES = 3_888_919, 1_112_356, 6_134_598, 1.53e12
"""YouTube-8M of 2018: its training and validation videos, the videos of all splits, and their bytes."""
INSIDE = 25e9
"""Bytes a second that a device sends to another of its host: PCI Express 4.0 with 16 lanes has 32e9."""
LINKS = {"25 Gbit/s": 25e9 / 8, "100 Gbit/s": 100e9 / 8}
"""Bytes a second between hosts, by the link's name."""
HOP = 20e-6
"""Seconds until a message of no length has arrived at the next host."""
BUCKET = 25 * 2**20
"""Bytes of gradients that are reduced together."""
CARD = 100
"""The cores of which a card has the speed."""


@dataclass(frozen=True)
class Measured:
    """Figures of one core, in seconds."""

    few: float
    """A step of 1 video."""
    half: float
    """A step of 128 videos."""
    step: float
    """A step of 256 videos."""
    evaluation: float
    """The share that an evaluation of a batch takes of its training step."""
    carried: float
    """Bytes that 2 processes together sent in a step."""
    read: float
    """Videos that one process reads in a second."""
    metrics: float
    """Figures of one video."""

    def compute(self, videos: int) -> float:
        """A step of some videos: a part for the weights, and a part for each video."""
        return self.few + (videos - 1) * (self.step - self.few) / 255


def measured(results: Path) -> Measured:
    """The figures of one core in the results."""

    def figure(group: str, what: str, setting: str, backend: str = "") -> float:
        rows = [
            row
            for row in read_csv(results / f"bench_{group}.csv")
            if (row["what"], row["setting"]) == (what, setting) and backend in ("", row["backend"])
        ]
        return float(rows[0]["value"])

    batch, reading = f"{MODEL}, batch 256", "120 .. 300 frames, batch 128, all checksums"
    evaluation, training = (figure("precision", what, f"{batch}, float32") for what in ("evaluation", "training step"))
    return Measured(
        few=figure("processes", "of a processor: a step of 1 video, most of which is Adam", batch) / 1e3,
        half=figure("processes", "of a processor: half the batch, alone", batch) / 1e3,
        step=figure("processes", "of a processor: 1 process", batch) / 1e3,
        evaluation=evaluation / training,
        carried=figure("processes", "carried between 2 processes", batch) * 1e6,
        read=figure("youtube8m", "reading", reading, "acz, this process"),
        metrics=figure("metrics", "metrics", "100,000 videos, 3,862 classes") / 1e6,
    )


def gradients() -> int:
    """Bytes of the gradients of a step."""
    return 4 * load_config(MODEL).spec.parameter_count


def sent(ranks: int, size: float) -> float:
    """Bytes that each of some ranks sends where all of them reduce `size` bytes in a ring."""
    return 2 * (ranks - 1) / ranks * size


def reduction(devices: int, link: float) -> float:
    """Seconds of the reduction: the devices of each host, then the hosts, each in a ring."""
    size, hosts = gradients(), max(devices // OF_A_HOST, 1)
    hops = math.ceil(size / BUCKET) * 2 * (hosts - 1)
    return sent(min(devices, OF_A_HOST), size) / INSIDE + sent(hosts, size) / link + hops * HOP


def in_words(value: float) -> str:
    """A time in the unit that fits."""
    for size, unit in ((3600, "h"), (60, "min"), (1, "s")):
        if value >= 2 * size:
            return f"{value / size:.1f} {unit}"
    return f"{value * 1e3:.0f} ms"


HEADERS = (
    *("devices", "of", "between hosts", "videos a device", "computes", "a host sends", "reduction", "step"),
    *("share of computing", "epoch", "each host reads", "readers", "evaluation"),
)


def row_of(figures: Measured, kind: str, speed: float, devices: int, batch: int, link: str) -> list[str]:
    """The cells of some devices that share batches over a link."""
    parts = [rows_of_rank(batch, rank, devices) for rank in range(devices)]
    own, hosts = max(part.stop - part.start for part in parts), devices // OF_A_HOST
    compute, reduced = figures.compute(own) / speed, reduction(devices, LINKS[link])
    step = compute + reduced
    rate, size = batch / step / hosts, BYTES / EVERY_SPLIT
    evaluated = math.ceil(math.ceil(VALIDATION / BATCH) / devices) * BATCH
    return [
        str(devices),
        kind,
        link if hosts > 1 else "",
        str(own),
        in_words(compute),
        f"{sent(hosts, gradients()) / 1e6:,.0f} MB" if hosts > 1 else "",
        in_words(reduced),
        in_words(step),
        f"{compute / step:.0%}",
        in_words(VIDEOS // batch * step),
        f"{rate:,.0f} videos/s, {rate * size / 1e6:,.0f} MB/s",
        str(math.ceil(rate / figures.read)),
        in_words(evaluated * (figures.evaluation * figures.step / 256 / speed + figures.metrics)),
    ]


def table(figures: Measured, card: float, batch: int, for_each: bool) -> str:
    """A row for each number of devices, kind of device and link. The batch is that of all devices, or of each."""
    rows = [
        row_of(figures, kind, speed, devices, batch * devices if for_each else batch, link)
        for kind, speed in (("cores", 1.0), ("cards", card))
        for devices in DEVICES
        for link in (list(LINKS) if devices > OF_A_HOST else list(LINKS)[:1])
    ]
    return markdown(list(HEADERS), rows)


def scale(text: str, results: Path, card: float = CARD) -> str:
    """The page on scale: a table for the recipe's batch, and one for batches that grow with the devices."""
    figures, recipe = measured(results), load_config(MODEL).recipe
    text = replace_table(text, "scale_of_a_batch", table(figures, card, recipe.batch_size, for_each=False))
    return replace_table(text, "scale_of_batches", table(figures, card, recipe.batch_size // DEVICES[0], for_each=True))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--card", type=float, default=CARD, help="the cores of which a card has the speed")
    page = ROOT / "docs/scale.md"
    print(scale(page.read_text(encoding="utf-8"), ROOT / "docs/results", options.parse_args().card))


if __name__ == "__main__":
    main()
