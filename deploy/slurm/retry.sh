#!/bin/bash
# What of an array's run is left: a line for each part that is not done, and the words that send them again.
#
#   deploy/slurm/retry.sh /shared/runs
#
# Videos that failed are in each part's failed.jsonl with their reasons; mend them first. A part that is sent again tracks only what
# is not done.

set -euo pipefail

out=${1:?usage: retry.sh FOLDER}
parts=$(cat "$out/parts" 2>/dev/null) || { echo "$out holds no run of submit_array.sh: it has no file named parts." >&2; exit 2; }

left=()
for ((n = 0; n < parts; n++)); do
    folder=$out/$(printf 'part-%05d' "$n")
    if [ ! -e "$folder/run.json" ]; then
        echo "part $n: not begun"
        left+=("$n")
    elif [ -s "$folder/failed.jsonl" ]; then
        echo "part $n: $(wc -l < "$folder/failed.jsonl") failed, see $folder/failed.jsonl"
        left+=("$n")
    elif grep -qE '"state": "(waiting|starting|tracking|closing|stopped|preparing)"' "$folder/run.json"; then
        echo "part $n: to be continued"
        left+=("$n")
    fi
done
if [ ${#left[@]} -eq 0 ]; then
    echo "all $parts parts are done"
    exit 0
fi
echo "send them again: sbatch --array=$(IFS=,; echo "${left[*]}") … as before"
exit 3
