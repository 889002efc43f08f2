#!/bin/busybox sh
# shellcheck shell=dash
# Runs what the host says over the channel of the virtio console, one command after the other. What a command writes goes to the channel
# as it is; behind it comes a line that begins with a record separator, with the command's number and its exit status.
# Each order is a line: run NUMBER BASE64, where the last is a script for /bin/sh; or hello NUMBER, which does nothing.
busybox=/run/fencepost/busybox
port=
for name in /sys/class/virtio-ports/*/name; do
    if [ "$(cat "$name")" = fencepost.channel ]; then
        port=${name%/name}
        port=/dev/${port##*/}
    fi
done
if [ ! -c "$port" ] || ! exec 3<>"$port"; then
    echo "fencepost: there is no channel to the host" >/dev/console
    exit 1
fi
# For what the root does not have, such as poweroff.
mkdir -p /run/fencepost/bin
$busybox --install -s /run/fencepost/bin
# Takes the host's folders away from the guest. What is still open there fails from then on.
cat >/run/fencepost/bin/fencepost-unmount <<'END'
#!/bin/sh
cd /
awk '$3 == "virtiofs" || $2 == "/work" || $2 ~ "^/lib/modules/" { print $2 }' /proc/mounts | tac | while read -r where; do
    umount -l "$where" || exit 1
done || exit 1
for device in /sys/bus/virtio/drivers/virtiofs/virtio*; do
    if [ -e "$device" ]; then echo "${device##*/}" >/sys/bus/virtio/drivers/virtiofs/unbind || exit 1; fi
done
END
chmod +x /run/fencepost/bin/fencepost-unmount
PATH=$PATH:/run/fencepost/bin
export PATH
while :; do
    # Waits until somebody is at the other end.
    printf '\036fencepost ready 0\n' >&3
    while read -r order number text <&3; do
        status=0
        if [ "$order" = run ]; then
            script=$(printf %s "$text" | $busybox base64 -d)
            # Where a guest has filled all that it can write, its next step is run all the same; an argument has its limit.
            if [ ${#script} -lt 100000 ]; then
                set -- /bin/sh -c "$script"
            elif printf '%s\n' "$script" >/run/fencepost/step; then
                set -- /bin/sh /run/fencepost/step
            else
                set -- /bin/sh -c 'echo "/run/fencepost has no room for the step"; exit 1'
            fi
            $busybox setsid "$@" </dev/null >&3 2>&1 3>&-
            status=$?
        fi
        printf '\036fencepost %s %s\n' "$number" "$status" >&3
    done
done
