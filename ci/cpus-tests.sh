# Four CPUs of one machine: the same run each time, another with another seed, and the same from a snapshot in its middle; another kernel
# that takes them over. Sourced by ci/guest-tests.sh.
# shellcheck shell=bash disable=SC2154

# Runs test_cpus: `four NAME OPTION...`. Leaves what must be the same in $logs/NAME.same.
four() {
    local name=$1 status=0
    shift
    "$FENCEPOST" run "$@" --accel soft --timeout 300 --memory-hash </dev/null >"$logs/$name" 2>"$logs/$name.host" || status=$?
    grep sha256 "$logs/$name.host" >"$logs/$name.same"
    cat "$logs/$name" "$logs/$name.host"
    [ "$status" = 0 ] && [ "$(wc -l <"$logs/$name.same")" = 2 ]
}
new_four() {
    four "$@" --cpus 4 --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" --memory 256M \
        --append "$GUEST_COMMAND_LINE fencepost.run=\"test_cpus 4\""
}
four_same() {
    new_four four-1 --seed 1 --snapshot "$logs/four.snapshot" --snapshot-at 1500ms && new_four four-2 --seed 1 &&
        cmp "$logs/four-1.same" "$logs/four-2.same" && cmp "$logs/four-1" "$logs/four-2" && grep -q '^ok 13 ' "$logs/four-1"
}
four_differ() {
    new_four four-3 --seed 2 || return 1
    ! cmp -s "$logs/four-1.same" "$logs/four-3.same"
}
# The events since the snapshot are others; memory ends as it did.
four_restored() {
    four four-4 --restore "$logs/four.snapshot" && cmp <(grep memory "$logs/four-1.same") <(grep memory "$logs/four-4.same")
}
check "cpus: four, twice the same" four_same
check "cpus: four, another seed" four_differ
check "cpus: four, from a snapshot" four_restored

# A kernel starts another one by kexec, which finds the last CPU off line and the others halted by the first kernel: it brings up all four.
next_kernel() {
    # `guest`, which is in ci/test, looks at it.
    # shellcheck disable=SC2034
    local tree=$logs/$1 INITRD=initrd-boot
    mkdir -p "$tree/second/bin" "$tree/first/bin" "$tree/first/next"
    cp "$GUEST/programs/init" "$tree/second/"
    cp "$GUEST/programs/test_cpus" "$tree/second/bin/"
    echo "test_cpus 4" >"$tree/second/run-default"
    archive "$tree/second" >"$tree/first/next/initrd"
    cp "$KERNEL/vmlinuz" "$tree/first/next/"
    cp "$GUEST/programs/kexec" "$tree/first/bin/"
    archive "$tree/first" >"$tree/initrd"
    guest "$1" 900 "kexec /next/vmlinuz /next/initrd 3" --initrd "$tree/initrd" --cpus 4
    check "cpus: $1 leaves three of the four" grep -q '^# the next kernel takes over from 3 CPUs' "$logs/guest-$1.text"
}
archive() {
    (cd "$1" && find . | cpio -o -H newc --quiet)
}
next_kernel kexec
on_stable next_kernel kexec-stable
