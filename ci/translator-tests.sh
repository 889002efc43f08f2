# Whole runs by the interpreter and by the translator: console, memory, CPUs, time and trace are the same to the byte; sourced by
# ci/guest-tests.sh.
# shellcheck shell=bash disable=SC2154

# Runs a guest by one of the two: `by WHICH NAME OPTION...`. What must be the same is in $logs/NAME-WHICH.same.
by() {
    local which=$1 name=$2 status=0
    shift 2
    "$FENCEPOST" run --soft-cpu "$which" --accel soft --timeout 600 --memory-hash --trace "$logs/$name-$which.trace" \
        --snapshot "$logs/$name-$which.snapshot" --snapshot-at 700ms "$@" </dev/null >"$logs/$name-$which.same" 2>"$logs/$name-$which.host" || status=$?
    echo "status $status" >>"$logs/$name-$which.same"
    grep sha256 "$logs/$name-$which.host" >>"$logs/$name-$which.same"
    [ "$(grep -c sha256 "$logs/$name-$which.same")" = 2 ] && [ -s "$logs/$name-$which.trace" ]
}
same_by_both() {
    local name=$1 kind
    by interpreter "$@" && by translator "$@" || return 1
    for kind in same trace snapshot; do
        cmp "$logs/$name-interpreter.$kind" "$logs/$name-translator.$kind" || return 1
    done
}
sharing_by_both() {
    same_by_both both-sharing --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" --memory 256M --seed 3 \
        --append "$GUEST_COMMAND_LINE fencepost.run=\"test_sharing\""
}
cpus_by_both() {
    same_by_both both-cpus --cpus 4 --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" --memory 256M --seed 5 \
        --append "$GUEST_COMMAND_LINE fencepost.run=\"test_cpus 4\""
}
# A boot of the stock kernel and a test, stopped 10,000 times at random: the CPU and its translations are the same each time.
stops_by_both() {
    local which
    for which in interpreter translator; do
        "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" --memory 256M --accel soft --soft-cpu "$which" --timeout 600 \
            --state-log "$logs/states-$which" --state-log-every 550000 --append "$GUEST_COMMAND_LINE fencepost.run=test_sharing" \
            </dev/null >"$logs/states-$which.console" 2>"$logs/states-$which.host" || return 1
    done
    wc -l "$logs"/states-{interpreter,translator}
    cmp "$logs"/states-{interpreter,translator} && [ "$(wc -l <"$logs/states-translator")" -ge 10000 ] &&
        [ "$(cut -d ' ' -f 3 "$logs/states-translator" | sort -u | wc -l)" -ge 9000 ]
}
# A run by one goes on by the other.
handed_over() {
    "$FENCEPOST" run --restore "$logs/both-sharing-translator.snapshot" --soft-cpu interpreter --memory-hash --timeout 600 </dev/null \
        >"$logs/handed" 2>"$logs/handed.host"
    cmp <(grep memory "$logs/handed.host" | grep sha256) <(grep memory "$logs/both-sharing-translator.same" | grep sha256)
}
check "translator: shared buffers, by both the same" sharing_by_both
check "translator: four CPUs, by both the same" cpus_by_both
check "translator: a boot stopped 10,000 times, by both the same" stops_by_both
check "translator: a snapshot goes on by the interpreter" handed_over
