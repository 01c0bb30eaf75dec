#!/bin/sh
# End macOS's sound service, which launchd starts again at once. Prints one JSON object.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

if killall coreaudiod; then
    echo '{"changed":true}'
else
    echo '{"changed":false}'
    exit 1
fi
