#!/bin/sh
# Set the clock by the time service that runs here. Prints one JSON object with what was done.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

there() { # NAME: whether it is installed
    command -v "$1" >/dev/null 2>&1
}

if there chronyc && chronyc -n tracking >/dev/null 2>&1; then
    by=chrony
    chronyc makestep >/dev/null
elif there systemctl && systemctl is-enabled --quiet systemd-timesyncd; then
    by=systemd-timesyncd
    systemctl restart systemd-timesyncd
else
    echo '{"by":null,"done":false}'
    echo 'no time service that could be asked (chrony, systemd-timesyncd)' >&2
    exit 1
fi
status=$?
if [ "$status" -eq 0 ]; then done=true; else done=false; fi
printf '{"by":"%s","done":%s}\n' "$by" "$done"
exit "$status"
