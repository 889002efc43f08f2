# The tests of disks, sourced by ci/guest-tests.sh: the stock block driver on the host's files, whose content other programs
# made and check (mke2fs, e2fsck, debugfs, qemu-img).
# shellcheck shell=bash disable=SC2154

# A disk with an ext4 file system that the guest can boot from, in $logs/disk.img.
make_disk() {
    local tree=$logs/disk.tree name
    mkdir -p "$tree"/{bin,dev,proc}
    head -c 300000 /dev/urandom >"$tree/from-host"
    (cd "$tree" && sha256sum from-host >from-host.sum)
    cp "$(command -v busybox)" "$tree/bin/busybox"
    for name in sh mount touch grep poweroff; do ln -sf busybox "$tree/bin/$name"; done
    cp "$ROOT/guest-tests/scripts/virtio_blk" "$tree/bin/"
    rm -f "$logs/disk.img"
    truncate -s 16M "$logs/disk.img"
    mke2fs -q -t ext4 -d "$tree" "$logs/disk.img"
}

# Whether a raw disk has a sound file system with the file that the guest wrote, and that of the host.
disk_was_written() {
    e2fsck -fn "$1" >/dev/null 2>&1 || { e2fsck -fn "$1"; return 1; }
    debugfs -R "cat /from-guest" "$1" 2>/dev/null | cmp - <(seq 1 100000) || return 1
    debugfs -R "cat /from-host" "$1" 2>/dev/null | cmp - "$logs/disk.tree/from-host"
}

image_was_written() {
    qemu-img check -q "$1" || return 1
    qemu-img convert -O raw "$1" "$logs/disk.back" && disk_was_written "$logs/disk.back"
}

# What a guest flushed has reached the host's own flush: each is counted once the host has done it.
disk_was_flushed() {
    local flushes
    flushes=$(sed -nE 's/^stats: virtio-blk: .* flushes ([0-9]+), errors 0,.*/\1/p' "$logs/guest-$1.host")
    [ "${flushes:-0}" -gt 3 ] || { echo "flushes: ${flushes:-none}" && return 1; }
}

# A disk on a file system that is smaller: the guest gets I/O errors, and the host's user one line.
disk_is_full() {
    local status=0 mounted=$logs/small
    mkdir -p "$mounted"
    as_root mount -t tmpfs -o size=2M,mode=1777 none "$mounted" || return 1
    truncate -s 16M "$mounted/full.img"
    "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd-virtio" --accel soft --timeout 300 \
        --append "$GUEST_COMMAND_LINE fencepost.run=\"virtio_blk full\"" --disk "$mounted/full.img" \
        </dev/null >"$logs/disk-full" 2>"$logs/disk-full.host" || status=$?
    as_root umount "$mounted"
    cat "$logs/disk-full" "$logs/disk-full.host"
    [ "$status" = 1 ] || { echo "status $status, not 1" && return 1; }
    [ "$(grep -cE '^ok [0-9]+' "$logs/disk-full")" = 4 ] || return 1
    [ "$(grep -c 'No space left on device; requests that the guest got as I/O errors: ' "$logs/disk-full.host")" = 1 ]
}

# A guest whose root is the disk: its initramfs moves there.
disk_boots() {
    "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd-virtio" --accel soft --timeout 300 \
        --append "$GUEST_COMMAND_LINE rdinit=/bin/virtio_blk -- root" --disk "$1" </dev/null >"$logs/booted" 2>&1 || return 1
    cat "$logs/booted"
    [ "$(grep -cE '^ok [0-9]+' "$logs/booted")" = 3 ] && ! grep -q '^not ok' "$logs/booted"
}

# One digest for the memory of two runs of one guest on one disk.
disk_runs_are_equal() {
    local run
    for run in 1 2; do
        "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd-virtio" --accel soft --timeout 300 --memory-hash \
            --append "$GUEST_COMMAND_LINE fencepost.run=\"virtio_blk write\"" --disk "$logs/disk.img,snapshot" \
            </dev/null 2>&1 | tr -d '\r' >"$logs/equal.$run" || return 1
    done
    grep -qE '[0-9a-f]{64}' "$logs/equal.1" && cmp "$logs/equal.1" "$logs/equal.2"
}

# The stock driver while the machine runs under KVM; what it wrote there is in the host's file.
disk_under_kvm() {
    local name=$1 status=0
    truncate -s 1M "$logs/$name.img"
    "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd-virtio" --accel soft --memory 384M --timeout 900 --stats \
        --move 1=kvm --move 2=soft --disk "$logs/$name.img" --append \
        "$GUEST_COMMAND_LINE tsc=reliable nowatchdog clearcpuid=rdtscp,lfence_rdtsc fencepost.run=virtio_kvm" \
        </dev/null >"$logs/$name" 2>"$logs/$name.host" || status=$?
    tail -n 30 "$logs/$name" "$logs/$name.host"
    [ "$status" = 0 ] && [ "$(grep -cE '^ok [0-9]+' "$logs/$name")" = 4 ] &&
        grep -q "moves to kvm: 1" "$logs/$name.host" && grep -q "moves to soft: 1" "$logs/$name.host" &&
        head -c 8893 "$logs/$name.img" | cmp - <(seq 1 2000)
}

# Every way of a disk on one kernel; NAME is part of the tests' names.
disks() {
    local name=$1
    check "disk: an ext4 file system for $name" make_disk
    cp "$logs/disk.img" "$logs/disk.before"
    qemu-img convert -f raw -O qcow2 "$logs/disk.img" "$logs/disk.qcow2"
    with_virtio guest "$name-ro" 300 "virtio_blk ro" --disk "$logs/disk.img,ro"
    with_virtio guest "$name-snapshot" 300 "virtio_blk write" --disk "$logs/disk.img,snapshot"
    check "disk: ro and snapshot leave $name as it was" cmp "$logs/disk.img" "$logs/disk.before"
    with_virtio guest "$name-raw" 300 "virtio_blk write" --disk "$logs/disk.img" --stats
    check "disk: what $name wrote is in the raw file" disk_was_written "$logs/disk.img"
    check "disk: what $name flushed was flushed on the host" disk_was_flushed "$name-raw"
    with_virtio guest "$name-qcow2" 300 "virtio_blk write" --disk "$logs/disk.qcow2"
    check "disk: what $name wrote is in the qcow2 image" image_was_written "$logs/disk.qcow2"
    check "disk: $name boots from it" disk_boots "$logs/disk.img"
}

# A block device of the host's: a loop device. `disk_on_device NAME`.
disk_on_device() {
    local name=$1 device=
    check "disk: an ext4 file system for $name" make_disk
    if ! device=$(as_root losetup -f --show "$logs/disk.img" 2>"$logs/losetup") || [ ! -w "$device" ]; then
        if [ -n "$device" ]; then as_root losetup -d "$device"; fi
        skipped+=("disk: a block device of the host's, $name: no loop device for this user: $(head -n 1 "$logs/losetup")")
        return
    fi
    with_virtio guest "$name" 300 "virtio_blk write" --disk "$device" --stats
    as_root losetup -d "$device"
    check "disk: what $name wrote is behind the block device" disk_was_written "$logs/disk.img"
    check "disk: what $name flushed was flushed on the host" disk_was_flushed "$name"
}

disks disk
disk_on_device disk-device
check "disk: a full host is I/O errors and a line" disk_is_full
check "disk: two runs are equal" disk_runs_are_equal
on_stable disks stable-disk
on_stable disk_on_device stable-disk-device
if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
    check "disk: under kvm" disk_under_kvm disk-kvm
else
    skipped+=("disk: under kvm: /dev/kvm cannot be opened")
fi
