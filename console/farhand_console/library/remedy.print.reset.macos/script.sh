#!/bin/sh
# Cancel all print jobs, restart the service, enable stopped queues. Prints one JSON object.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
failed=0

jobs=$(lpstat -o 2>/dev/null | grep -c .)
[ "$jobs" -eq 0 ] || cancel -a || failed=1
launchctl kickstart -k system/org.cups.cupsd >&2 || failed=1
# The service takes a moment to answer again.
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    lpstat -r 2>/dev/null | grep -q 'is running' && break
    [ "$attempt" -eq 10 ] && failed=1
    sleep 1
done
enabled=0
for queue in $(lpstat -p 2>/dev/null | sed -n 's/^printer \([^ ]*\) disabled .*/\1/p'); do
    cupsenable "$queue" && cupsaccept "$queue" && enabled=$((enabled + 1)) || failed=1
done
printf '{"changed":true,"jobs_cancelled":%d,"queues_enabled":%d}\n' "$jobs" "$enabled"
exit "$failed"
