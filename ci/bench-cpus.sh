# `ci/bench --cpus`, sourced by ci/bench: what idle CPUs cost. Linux with one CPU and with four, of which one works: its programs have no
# other to run on. Both go on from where the work begins, in turns, so that a noisy host falls on both. Programs have the same addresses in
# both: which of their pages share an entry of the software TLB would make more difference than the CPUs do.
# shellcheck shell=bash disable=SC2154

cpus_pairs=15
cpus_cost() {
    local folder cpus n
    folder=$(mktemp -d)
    mkdir -p "$folder/tree/bin"
    # Computes, makes processes, and has two of them talk.
    cat >"$folder/tree/bin/work" <<'END'
#!/bin/sh
printf '\001' | dd of=/dev/port bs=1 seek=248 2>/dev/null
n=0
while [ $n -lt 60000 ]; do n=$((n + 1)); done
for n in 1 2 3 4 5 6; do
    seq 4000 | sort -rn | sha256sum >/dev/null
    find /sys/devices/system/cpu -type f >/dev/null
done
END
    chmod 755 "$folder/tree/bin/work"
    (cd "$folder/tree" && find . | cpio -o -H newc --quiet) >"$folder/initrd"
    for cpus in 1 4; do
        "$FENCEPOST" run --accel soft --cpus "$cpus" --memory 256M --kernel "$KERNEL/vmlinuz" \
            --initrd "$GUEST/initrd-shell" --initrd "$folder/initrd" --timeout 300 \
            --append "$GUEST_COMMAND_LINE isolcpus=1-3 norandmaps fencepost.run=work" \
            --snapshot "$folder/$cpus" --snapshot-at mark:1 </dev/null >"$folder/said" 2>&1 || {
            cat "$folder/said" >&2
            die "the guest with --cpus $cpus failed"
        }
    done
    say "idle CPUs: $cpus_pairs runs of each, in turns"
    for ((n = 0; n < cpus_pairs; n++)); do
        for cpus in 1 4; do restored_work "$folder" "$cpus"; done
    done
    for n in instructions seconds; do
        printf 'one CPU of four works: %s times the %s of one CPU alone, which are %s\n' \
            "$(paste "$folder/1.$n" "$folder/4.$n" | awk '{printf "%.4f\n", $2 / $1}' | spread)" "$n" "$(median <"$folder/1.$n")"
    done
    rm -rf "$folder"
}

# One run from the snapshot of so many CPUs; its seconds of the processor's in user mode and its instructions are added to files.
restored_work() {
    local folder=$1 cpus=$2 TIMEFORMAT=%U
    { time "$FENCEPOST" run --restore "$folder/$cpus" --accel soft --timeout 300 --stats </dev/null >"$folder/said" 2>&1; } \
        2>>"$folder/$cpus.seconds" || die "the restored guest with --cpus $cpus failed"
    sed -nE 's/^stats: ([0-9]+) guest instructions.*/\1/p' "$folder/said" >>"$folder/$cpus.instructions"
}
