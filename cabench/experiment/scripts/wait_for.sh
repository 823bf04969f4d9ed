# Wait until a worker has ended; `wait` returns early when a signal comes.
wait_for() {
    wait "$1"
    while kill -0 "$1" 2>/dev/null; do wait "$1"; done
    wait "$1"
}
