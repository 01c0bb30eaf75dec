#!/bin/sh
# Have ClamAV fetch new signatures. Prints one JSON object; what it says goes to standard error.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL

if ! command -v freshclam >/dev/null 2>&1; then
    echo '{"changed":false,"by":null}'
    echo 'ClamAV is not installed' >&2
    exit 1
fi
if command -v systemctl >/dev/null 2>&1 && systemctl --quiet is-active clamav-freshclam; then
    by=daemon
    # freshclam(1): SIGUSR1 has the daemon look at once.
    systemctl kill --signal=SIGUSR1 clamav-freshclam
else
    by=freshclam
    freshclam --stdout >&2
fi
status=$?
if [ "$status" -eq 0 ]; then changed=true; else changed=false; fi
printf '{"changed":%s,"by":"%s"}\n' "$changed" "$by"
exit "$status"
