#!/bin/sh
# Finish what was interrupted while packages were installed. Prints one JSON object; what the
# package manager says goes to standard error.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
DEBIAN_FRONTEND=noninteractive
LC_ALL=C
export PATH DEBIAN_FRONTEND LC_ALL

if ! command -v dpkg >/dev/null 2>&1; then
    echo '{"configured":false,"completed":false,"left":null}'
    echo 'dpkg does not rule this system' >&2
    exit 1
fi
configured=true
completed=true
# A configuration file that somebody changed stays as it is.
dpkg --force-confdef --force-confold --configure -a >&2 || configured=false
apt-get -y --no-remove -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
    -f install >&2 || completed=false
left=$(dpkg --audit | grep -c '^ ')
printf '{"configured":%s,"completed":%s,"left":%d}\n' "$configured" "$completed" "$left"
[ "$configured" = true ] && [ "$completed" = true ] && [ "$left" -eq 0 ]
