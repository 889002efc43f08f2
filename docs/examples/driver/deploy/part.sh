#!/bin/sh
# One part of the suite: of an Indexed Job of Kubernetes, whose TEST_PARTS is its number of completions, or of an array of Slurm's.
if [ -n "$JOB_COMPLETION_INDEX" ]; then
    part=$((JOB_COMPLETION_INDEX + 1)) of=$TEST_PARTS
else
    part=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN + 1)) of=$SLURM_ARRAY_TASK_COUNT
fi
exec fencepost test tests --kernel 6.12,6.1 --shard "$part/$of" --json "part-$part.json" --results "results-$part"
