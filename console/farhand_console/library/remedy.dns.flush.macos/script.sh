#!/bin/sh
# Empty the cache of macOS's resolver. Prints one JSON object.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

if dscacheutil -flushcache && killall -HUP mDNSResponder; then
    echo '{"changed":true}'
else
    echo '{"changed":false}'
    exit 1
fi
