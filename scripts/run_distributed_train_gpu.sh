#!/usr/bin/env bash
# Train in MindSpore on the first PROCESSES GPUs of this host: scripts/run_distributed_train_gpu.sh PROCESSES [option of acz train ...]
# DEVICE is GPU by default; ACZ is the program.
processes=${1:?the number of GPUs comes first}
shift
exec ${ACZ:-acz} train --backend mindspore --device "${DEVICE:-GPU}" --processes "$processes" "$@"
