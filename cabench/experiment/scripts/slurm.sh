#!/bin/bash
# {{ workers }} workers share the cells of one `cabench run`. Adapt the lines with #SBATCH, then: sbatch THIS_FILE
{% include "notes.sh" %}

#SBATCH --job-name=cabench
#SBATCH --array=0-{{ workers - 1 }}
#SBATCH --cpus-per-task=1
{% if walltime %}
#SBATCH --time={{ walltime }}
{% endif %}
{{ "" if needs_gpu else "#" }}#SBATCH --gres=gpu:1
##SBATCH --mem=4G
##SBATCH --partition=NAME
##SBATCH --account=NAME
# Pre-emption and failed nodes queue a task again; so does this script when the notice of the end comes.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@{{ notice_s }}

{% include "setting.sh" %}
export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
most_restarts=20

{% include "wait_for.sh" %}

# Whether a cell is neither finished nor failed nor being computed.
cells_wait() {
    "${cabench[@]}" plan "${request[@]}" --json | {{ python | quoted }} -P -c 'import json, sys; sys.exit(not json.load(sys.stdin)["waiting"])'
}

stopped=
told_to_end=
trap 'stopped=yes; told_to_end=yes; kill -TERM $(jobs -p) 2>/dev/null' USR1  # the worker writes a checkpoint
trap 'stopped=yes; kill -TERM $(jobs -p) 2>/dev/null' TERM INT
"${cabench[@]}" run "${request[@]}"{{ " --time-limit " + time_limit if time_limit }} &
worker=$!
if [ -n "$stopped" ]; then kill -TERM "$worker"; fi  # it came before the worker started
wait_for "$worker"
status=$?

if [ -n "$told_to_end" ] || { [ "$status" -le 1 ] && cells_wait; }; then
    if [ "${SLURM_RESTART_COUNT:-0}" -lt "$most_restarts" ]; then
        scontrol requeue "${SLURM_ARRAY_JOB_ID:?}_${SLURM_ARRAY_TASK_ID:?}"
    fi
fi
exit "$status"
