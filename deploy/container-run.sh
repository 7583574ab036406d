#!/bin/sh
# Run zimage-bot with these arguments. Docker starts a container again whatever its exit status is; where that cannot
# help (64: usage, 78: configuration), wait for somebody to fix it, so that restarts do not use up Discord's sessions.
set -u

bot= stopped=
trap 'stopped=yes; [ -z "$bot" ] || kill -TERM "$bot"' TERM INT HUP
zimage-bot "$@" &
bot=$!
[ -z "$stopped" ] || kill -TERM "$bot" # the signal came before there was one to pass it on to
while :; do
    wait "$bot" # a signal ends this, too
    status=$?
    kill -0 "$bot" 2>/dev/null || break
done

case "${1-} $status" in
"run 64" | "run 78")
    trap 'exit "$status"' TERM INT HUP
    echo "Status $status: a restart would not help. Fix what the last lines say, and restart the container." >&2
    while :; do sleep 1; done
    ;;
esac
exit "$status"
