#!/bin/bash
# {{ workers }} {{ "worker computes" if workers == 1 else "workers share" }} the cells of one `cabench run`. Adapt it, then: bash THIS_FILE
# Start it on several machines that share the folders, for more workers. On one machine `cabench run --workers` does the
# same. After Ctrl-C, and if cells are left, start it again.

{% include "setting.sh" %}
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

{% if builds %}
# The data is built once, before the workers start.
{% for command in builds %}
{{ command }} || exit
{% endfor %}

{% endif %}
{% include "wait_for.sh" %}

workers=()
status=0
stopped=
trap 'stopped=yes; kill -TERM $(jobs -p) 2>/dev/null' INT TERM HUP  # the workers write checkpoints
for ((number = 0; number < {{ workers }}; number++)); do
    if [ -n "$stopped" ]; then status=130; break; fi
    "${cabench[@]}" run "${request[@]}"{{ " --time-limit " + time_limit if time_limit }} >/dev/null &
    workers+=($!)
done

for worker in "${workers[@]}"; do
    wait_for "$worker"
    ended=$?
    if ((ended > status)); then status=$ended; fi
done
if ((status <= 1)); then "${cabench[@]}" report --results {{ results | quoted }}; fi
exit "$status"
