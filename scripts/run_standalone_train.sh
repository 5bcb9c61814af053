#!/usr/bin/env bash
# Train in MindSpore on one device: scripts/run_standalone_train.sh [option of acz train ...]
# DEVICE is Ascend:0 by default; ACZ is the program.
exec ${ACZ:-acz} train --backend mindspore --device "${DEVICE:-Ascend:0}" "$@"
