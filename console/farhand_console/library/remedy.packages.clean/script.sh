#!/bin/sh
# Remove downloaded package files. Prints one JSON object with the package managers that did it.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
cleaned=""
failed=""

attempt() { # NAME COMMAND...: run it where it is installed and remember how it went
    name=$1
    shift
    command -v "$1" >/dev/null 2>&1 || return
    if "$@" >/dev/null 2>&1; then
        cleaned="$cleaned${cleaned:+,}\"$name\""
    else
        failed="$failed${failed:+,}\"$name\""
    fi
}

attempt apt apt-get clean
attempt dnf dnf -q clean packages
command -v dnf >/dev/null 2>&1 || attempt yum yum -q clean packages
attempt zypper zypper --non-interactive clean
attempt pacman pacman -Sc --noconfirm

printf '{"cleaned":[%s],"failed":[%s]}\n' "$cleaned" "$failed"
[ -z "$failed" ]
