# Four CPUs of one machine: the same run each time, another with another seed, and the same from a snapshot in its middle; sourced by
# ci/guest-tests.sh.
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
