#!/usr/bin/env bash
# Infer with a MindIR file, which MindSpore runs without acz: scripts/run_infer_310.sh MODEL.mindir DATA [option of acz infer ...]
# ACZ is the program.
model=${1:?the MindIR file comes first}
data=${2:?the data set comes second}
shift 2
exec ${ACZ:-acz} infer "$model" --data "$data" "$@"
