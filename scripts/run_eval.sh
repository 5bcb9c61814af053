#!/usr/bin/env bash
# Evaluate in MindSpore: scripts/run_eval.sh RUN|CHECKPOINT [option of acz eval ...]
# DEVICE is Ascend:0 by default; ACZ is the program.
exec ${ACZ:-acz} eval --backend mindspore --device "${DEVICE:-Ascend:0}" "$@"
