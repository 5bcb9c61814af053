"""Runs clients on models and writes their rows into the results: bash scripts/clients.sh [--models A,B] [--clients X,Y]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from acz.backend.versions import environment
from acz.foundation.errors import nearest
from acz.foundation.files.tables import read_csv, write_csv
from acz.zoo.catalog import config_names
from clients.catalog import CLIENTS
from clients.comparison import Row, compare, not_run
from clients.environments import ROOT, InstallationFailed, prepare
from clients.samples import Model

RESULTS = ROOT / "docs/results/clients.csv"
CIRCULANT = "youtube8m/compact/dbof:compact:tiny"
"""The model with every circulant layer, which the tiny variants of the zoo's files do not have."""


def main(words: list[str]) -> int:
    """Run what was asked for. Returns 1 where a row did not pass."""
    models = [name for name in config_names() if name.endswith(":tiny")]
    parser = argparse.ArgumentParser("scripts/clients.sh", description=__doc__)
    parser.add_argument("--models", help="names in the zoo with their variant; by default the tiny variant of each")
    parser.add_argument("--clients", help=f"of {', '.join(client.name for client in CLIENTS)}; by default all")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the CSV file; rows of other clients and models stay")
    chosen = parser.parse_args(words)
    clients = {client.name: client for client in CLIENTS}
    names = chosen.clients.split(",") if chosen.clients else list(clients)
    for name in names:
        if name not in clients:
            parser.error(f"there is no client '{name}'; {nearest(name, clients)}")
    build = ROOT / "build/clients"
    passed = True
    prepared = {}
    for name in names:
        print(f"installing {name} ...", file=sys.stderr)
        try:
            prepared[name] = prepare(clients[name], build / "environments")
        except InstallationFailed as error:
            prepared[name] = error
    for model_name in chosen.models.split(",") if chosen.models else [*models, CIRCULANT]:
        model = Model(model_name, build / "models")
        for name in names:
            client, place = clients[name], prepared[name]
            installed = not isinstance(place, Exception)
            row = compare(client, place, model) if installed else not_run(client, "", model_name, place)
            print(f"{row.client:25} {row.model:45} {row.difference:9} of {row.bound:9} {row.result}", flush=True)
            passed = passed and row.result == "passed"
            record(chosen.out, row)
    return 0 if passed else 1


def record(path: Path, row: Row) -> None:
    """Write a row in place of the one of the same client and model, in the order of the catalogue."""
    about = {name: value for name, value in environment().items() if name != "versions"}
    rows = {(old["client"], old["model"]): old for old in (read_csv(path) if path.is_file() else [])}
    rows[row.client, row.model] = row.to_dict() | about
    order = [client.name for client in CLIENTS]
    known = [key for key in rows if key[0] in order]
    write_csv(path, [rows[key] for key in sorted(known, key=lambda key: (order.index(key[0]), key[1]))])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
