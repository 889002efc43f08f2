#!/bin/busybox sh
# shellcheck shell=dash
# The first program of a guest whose root is made by `fencepost root`: mounts the root, read-only, below a file system in memory that
# takes what is written, and starts /start in it.
# /modules, /mount and /start are made for one start (vmm/src/root/initramfs.rs).
stuck() {
    echo "fencepost: $*" >/dev/console
    /bin/busybox poweroff -f
}
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t sysfs sys /sys
while read -r module; do
    /bin/busybox insmod "/modules/$module" || stuck "the module $module cannot be loaded"
done </modules/order
# Devices wait for the driver of a virtio IOMMU, and the kernel would come back to them some time after it was loaded. Whoever asks
# for the override waits until a device that somebody else has come back to is ready.
if [ -f /modules/virtio_iommu.ko ]; then
    for device in /sys/bus/pci/devices/*; do
        echo "${device##*/}" >/sys/bus/pci/drivers_probe
        /bin/busybox cat "$device/driver_override" >/dev/null
    done
fi
# shellcheck source=/dev/null
. /mount
/bin/busybox mount -t tmpfs -o mode=755 written /written || stuck "no memory for what is written"
/bin/busybox mkdir /written/upper /written/work
/bin/busybox mount -t overlay -o lowerdir=/lower,upperdir=/written/upper,workdir=/written/work root /root ||
    stuck "the root cannot be mounted so that it can be written"
/bin/busybox mount -o move /dev /root/dev
/bin/busybox mount -t proc proc /root/proc
/bin/busybox mount -o move /sys /root/sys
# A kernel may lack some of these.
for kind in debugfs:debug tracefs:tracing configfs:config; do
    /bin/busybox mount -t ${kind%:*} ${kind%:*} "/root/sys/kernel/${kind#*:}" 2>/dev/null
done
/bin/busybox mount -t tmpfs -o mode=755,nosuid,nodev run /root/run
/bin/busybox mount -t tmpfs -o mode=1777,nosuid,nodev tmp /root/tmp
/bin/busybox mkdir /root/dev/pts /root/dev/shm /root/run/lock /root/run/fencepost
/bin/busybox mount -t devpts -o mode=620,ptmxmode=666 pts /root/dev/pts
/bin/busybox mount -t tmpfs -o mode=1777,nosuid,nodev shm /root/dev/shm
/bin/busybox cp -a /bin/busybox /start /command /root/run/fencepost/
for script in /agent /network; do
    if [ -f "$script" ]; then /bin/busybox cp -a "$script" /root/run/fencepost/; fi
done
exec /bin/busybox switch_root /root /run/fencepost/busybox sh /run/fencepost/start
