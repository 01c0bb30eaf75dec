#!/bin/sh
# Restart the sound services of everybody who is logged in. Prints one JSON object.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
restarted=0
failed=0

if ! command -v loginctl >/dev/null 2>&1; then
    echo '{"changed":false,"restarted":0,"failed":0}'
    echo 'nobody knows who is logged in (loginctl)' >&2
    exit 1
fi
for person in $(loginctl list-users --no-legend | sed -n 's/^ *[0-9][0-9]* *\([^ ]*\).*/\1/p'); do
    for unit in wireplumber.service pipewire.service pipewire-pulse.service pulseaudio.service; do
        systemctl --user --machine="$person@.host" --quiet is-active "$unit" || continue
        if systemctl --user --machine="$person@.host" restart "$unit" >&2; then
            restarted=$((restarted + 1))
        else
            failed=$((failed + 1))
        fi
    done
done
if [ "$restarted" -gt 0 ]; then changed=true; else changed=false; fi
printf '{"changed":%s,"restarted":%d,"failed":%d}\n' "$changed" "$restarted" "$failed"
[ "$failed" -eq 0 ]
