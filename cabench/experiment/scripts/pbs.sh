#!/bin/bash
# {{ workers }} {{ "worker computes" if workers == 1 else "workers share" }} the cells of one `cabench run`. Adapt the lines with #PBS, then: qsub THIS_FILE
{% include "notes.sh" %}

#PBS -N cabench
{% if workers > 1 %}
#PBS -J 0-{{ workers - 1 }}
{% endif %}
#PBS -l select=1:ncpus=1:mem=4gb{{ ":ngpus=1" if needs_gpu }}
{% if walltime %}
#PBS -l walltime={{ walltime }}
{% endif %}
##PBS -q NAME
##PBS -A NAME
# Pre-emption and failed nodes queue a task again.
#PBS -r y
#PBS -j oe

{% include "setting.sh" %}
export OMP_NUM_THREADS="${NCPUS:-1}"

{% if time_limit %}
# A minute before its time is up the worker writes a checkpoint.
exec timeout --preserve-status --signal=TERM {{ notice_at_s }} "${cabench[@]}" run "${request[@]}" --time-limit {{ time_limit }}
{% else %}
exec "${cabench[@]}" run "${request[@]}"
{% endif %}
