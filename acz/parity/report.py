"""The report of a comparison: as one document, as a table of files, and in lines for a reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from acz.model.precision import FULL, Precision
from acz.parity.levels import TITLES
from acz.parity.row import Row
from acz.reference.samples import Case


def all_passed(rows: Sequence[Row]) -> bool:
    """True where something was compared and nothing failed."""
    return any(row.passed for row in rows) and not any(row.failed for row in rows)


def to_json(rows: Sequence[Row], missing: Sequence[str]) -> dict[str, Any]:
    """The whole report as one document."""
    return {
        "passed": all_passed(rows),
        "missing_backends": list(missing),
        "checks": [
            {
                "model": row.model,
                "backend": row.backend,
                "device": row.device,
                "level": row.level,
                "check": row.check,
                "precision": row.precision,
                "measured": row.measured if np.isfinite(row.measured) else None,
                "bound": row.bound if np.isfinite(row.bound) else None,
                "where": row.where,
                "passed": None if row.missing or row.not_bounded else row.passed,
                "waiver": row.waiver,
                "problem": row.problem,
                "missing": row.missing,
            }
            for row in rows
        ],
    }


def to_table(rows: Sequence[Row], cases: Sequence[Case], versions: Mapping[str, str]) -> list[dict[str, Any]]:
    """One flat row a check, with the spec's hash and the versions of what ran, for a CSV file."""
    hashes = {case.model: case.spec.hash for case in cases}
    return [
        {
            "model": row.model,
            "spec_hash": hashes.get(row.model, ""),
            "backend": row.backend,
            "device": row.device,
            "level": row.level,
            "check_level": TITLES[row.level],
            "check": row.check,
            "precision": row.precision,
            "measured": row.measured,
            "bound": row.bound,
            "passed": "missing" if row.missing else "not bounded" if row.not_bounded else row.passed,
            "where": row.where,
            "waiver": row.waiver,
            "problem": row.problem or row.missing,
            **versions,
        }
        for row in rows
    ]


def summarise(rows: Sequence[Row], precisions: Sequence[Precision] = FULL) -> list[list[str]]:
    """One line for each model, backend and level: in each precision the check that came nearest to its bound."""
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.model, row.participant, row.level), []).append(row)
    lines = []
    for (model, backend, level), members in groups.items():
        cells = []
        for precision in precisions:
            measured = [row for row in members if row.precision == precision.value and not row.problem + row.missing]
            measured = [row for row in measured if not row.not_bounded] or measured
            if not measured:
                cells += ["", ""]
                continue
            nearest = max(measured, key=lambda row: row.measured / row.bound if row.bound else row.measured)
            cells += [f"{nearest.measured:.1e}", f"{nearest.bound:.1e}"]
        lines.append([model, backend, f"{level} {TITLES[level]}", *cells, _verdict(members)])
    return lines


def _verdict(rows: Sequence[Row]) -> str:
    if any(row.failed for row in rows):
        return "FAIL"
    if all(row.missing for row in rows):
        return "missing"
    if not any(row.passed for row in rows):
        return "not bounded"
    return "ok, waived" if any(row.waiver for row in rows) else "ok"


def list_failures(rows: Sequence[Row]) -> list[str]:
    """The failures, a line each: the place, and by how much."""
    lines = []
    for row in rows:
        if not row.failed:
            continue
        what = f"{row.participant}: {row.model}, level {row.level}, {row.check} {row.precision}".rstrip()
        if row.problem:
            lines.append(f"{what}: {row.problem}")
        else:
            where = f"; first at {row.where}" if row.where else ""
            lines.append(f"{what}: {row.measured:.2e}, bound {row.bound:.2e}{where}")
    return lines
