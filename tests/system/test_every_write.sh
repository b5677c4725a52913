#!/usr/bin/env bash
# Two points of each story of tests/every_write; all of them run in .ci/run.
exec python3 "${MLTRAIN_SOURCE_DIR:?}/tests/every_write/every_write.py" --points 18 --lanes 4 --seed "${MLT_SEED:-1}"
