#!/bin/busybox sh
# shellcheck shell=dash
# The first program in the guest's root: runs the command on the console, and ends the machine with its status.
busybox=/run/fencepost/busybox
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
[ -n "$TERM" ] && [ "$TERM" != linux ] || TERM=vt102
export PATH HOME LANG TERM
$busybox hostname -F /etc/hostname 2>/dev/null
cd /root || cd /
if [ -f /run/fencepost/network ]; then
    /run/fencepost/network
fi
if [ -f /run/fencepost/agent ]; then
    /bin/sh /run/fencepost/agent &
fi
$busybox setsid $busybox cttyhack /bin/sh /run/fencepost/command
status=$?
# The exit port; a kernel without /dev/port powers off, which is status 0.
if [ -c /dev/port ]; then
    # shellcheck disable=SC2059
    printf "\\$(printf %03o "$status")" | $busybox dd of=/dev/port bs=1 seek=244 2>/dev/null
fi
$busybox poweroff -f
