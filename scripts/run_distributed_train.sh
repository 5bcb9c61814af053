#!/usr/bin/env bash
# Train in MindSpore on Ascend cards with a rank table, one process for each card of this host:
#   scripts/run_distributed_train.sh RANK_TABLE_FILE --out RUN [option of acz train ...]
# SERVER_ID names this host in a table of several hosts. ACZ is the program.
set -euo pipefail
RANK_TABLE_FILE=$(realpath "${1:?the rank table comes first}")
export RANK_TABLE_FILE
shift
cards=$(python3 - "$RANK_TABLE_FILE" "${SERVER_ID:-}" <<'PYTHON'
import json
import sys

servers = json.load(open(sys.argv[1]))["server_list"]
here = [server for server in servers if sys.argv[2] in ("", server["server_id"])]
if len(here) != 1:
    sys.exit("set SERVER_ID to one of " + ", ".join(server["server_id"] for server in servers))
for card in here[0]["device"]:
    print(card["rank_id"], card["device_id"])
PYTHON
)
started=()
while read -r rank card; do
  RANK_ID=$rank DEVICE_ID=$card ${ACZ:-acz} train --backend mindspore --device Ascend "$@" &
  started+=($!)
done <<< "$cards"
code=0
for process in "${started[@]}"; do
  wait "$process" || code=$?
done
exit "$code"
