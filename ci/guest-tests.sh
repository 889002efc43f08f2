# The Linux guest tests, sourced by ci/test: scenarios of the drivers, and tests of the commands that a guest is part of.
# ci/test sets `logs`, and ci/lib.sh the paths; options have commas in them.
# shellcheck shell=bash disable=SC2154,SC2054

# The same on Debian 12's own kernel of the 6.1 series, whose payload is xz, with the drivers built for it.
on_stable() {
    local KERNEL=$CACHE/kernel-stable GUEST=$GUEST-stable
    "$@"
}
# Virtio devices by the kernel's own drivers, which busybox's modprobe loads: the programs are guest-tests/scripts.
with_virtio() {
    # `guest`, which is in ci/test, looks at it.
    # shellcheck disable=SC2034
    local INITRD=initrd-virtio
    "$@"
}

# Waits until a condition holds, a minute at most: `until_holds COMMAND...`.
until_holds() {
    for _ in $(seq 600); do
        "$@" && return
        sleep 0.1
    done
    echo "not within a minute: $*"
    return 1
}

# Serves what virtio_net reads, and sets the caller's `server` and `port`: `network_server NAME`.
network_server() {
    "$ROOT/ci/network-server.py" 127.0.0.1 >"$logs/$1-port" &
    server=$!
    until_holds test -s "$logs/$1-port" || { kill "$server"; return 1; }
    port=$(cat "$logs/$1-port")
}

# Runs scenarios: `run_scenarios NAME PATH... [OPTION...]`. Leaves $logs/NAME.json, and what each of them left in $logs/NAME.
run_scenarios() {
    local name=$1
    shift
    GUEST_PROGRAMS=$GUEST/programs "$FENCEPOST" test "$@" --keep --results "$logs/$name" --json "$logs/$name.json" >&2
}
# The same, each thing that they look at a test.
scenarios() {
    say "scenarios: $1"
    run_scenarios "$@" || true
    lines_of "$ROOT/ci/scenario-results.py" "$logs/$1.json"
}
scenarios scenarios "$ROOT"/guest-tests/scenarios/*.toml
# A seed varies what hardware may vary: how long engines take, when interrupts arrive, which CPU runs. The scenarios that depend most on
# that run with a seed each time. The others, which test programs, pictures, formats and single devices, do so with --all.
with_seed="camera camera-fences cpus display display-vrr dmabuf flows gpu iommu life sharing traced-camera traced-render vtd"
seeded=() left_out=()
for file in "$ROOT"/guest-tests/scenarios/*.toml; do
    name=$(basename "$file" .toml)
    if [ "$all" = true ] || [[ " $with_seed " = *" $name "* ]]; then
        seeded+=("$file")
    else
        left_out+=("$name")
    fi
done
if [ ${#left_out[@]} != 0 ]; then skipped+=("seeded: ${left_out[*]} (only with --all)"); fi
scenarios seeded "${seeded[@]}" --kernel 6.12 --seed 7

. "$ROOT/ci/fault-tests.sh"
. "$ROOT/ci/scenario-tests.sh"

# Debian's own i386 programs as they come, static and dynamic, and exceptions of C++ through the unwinder of libgcc.
#   debian NAME KERNEL
debian() {
    local KERNEL=$CACHE/$2 GUEST=$GUEST-debian
    guest "$1" 300 "debian-programs;throws;throws-static"
}

# The other half of what follows: neither uses what the other one leaves or defines.
other_half() {
    # What a newcomer does: it compiles a crate, which takes longest.
    . "$ROOT/ci/guide-tests.sh"
    . "$ROOT/ci/console-tests.sh"
    . "$ROOT/ci/share-tests.sh"
    . "$ROOT/ci/gdb-tests.sh"
    check "build: the guest with Debian's programs" "$ROOT/ci/debian"
    debian debian kernel
    debian stable-debian kernel-stable
    . "$ROOT/ci/root-tests.sh"
    # It builds the command once more, with its manual pages.
    if [ "$all" = true ]; then . "$ROOT/ci/package-tests.sh"; else skipped+=("the Debian package (only with --all)"); fi
    say "runs broken at random moments"
    lines_of "$ROOT/ci/lost" 20
    # The live view of a guest, in a browser and by a VNC client.
    say "the live view"
    lines_of "$ROOT/ci/view-test" "$logs/view"
    lines_of "$ROOT/ci/view-test" --stable "$logs/view-stable"
}
beside other-half other_half

. "$ROOT/ci/demo-tests.sh"
. "$ROOT/ci/virtio-tests.sh"

# A program of the guest ends the machine with a status, from a shell's script too: `exits NAME`.
exits() {
    local status=0 line='fencepost.run="fencepost-exit 256;fencepost-exit 1 2;fencepost-exit x;fencepost-exit 42"'
    "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" --append "$GUEST_COMMAND_LINE $line" \
        --accel soft --timeout 300 </dev/null >"$logs/$1" || status=$?
    cat "$logs/$1"
    # A wrong argument is reported and ends nothing; all output before the end is there.
    [ "$status" = 42 ] && [ "$(grep -c 'fencepost-exit ended with status 2' "$logs/$1")" = 3 ]
}
check "guest: a program sets the exit status" exits exits
check "guest: the same on the 6.1 kernel" on_stable exits exits-stable

# The workloads of ci/bench, small ones, on `soft` alone: all come to their end, and their results are right.
workloads() {
    "$ROOT/ci/workloads.py" --fencepost "$FENCEPOST" --program "$GUEST/workloads/workloads" --kernel "$KERNEL/vmlinuz" \
        --initrd "$GUEST/initrd-workloads" --small --runs 1 "$@"
}
check "bench: the workloads end with the right results" workloads
# One that there is not is named, on one line.
wrong_workload() {
    local status=0
    workloads sieve sift >"$logs/wrong-workload" 2>&1 || status=$?
    cat "$logs/wrong-workload"
    [ "$status" = 2 ] && [ "$(wc -l <"$logs/wrong-workload")" = 1 ] && grep -q 'there is no workload sift; there are boot, sieve,' "$logs/wrong-workload"
}
check "bench: a workload that there is not is refused" wrong_workload

. "$ROOT/ci/cpus-tests.sh"
. "$ROOT/ci/translator-tests.sh"
. "$ROOT/ci/panic-tests.sh"

# Modules of another kernel are reported before the start; what the guest then does is not checked.
other_modules() {
    "$FENCEPOST" run --kernel "$CACHE/kernel-stable/vmlinuz" --initrd "$GUEST/initrd" --accel soft --timeout 0.1 \
        </dev/null >/dev/null 2>"$logs/other-modules" || true
    cat "$logs/other-modules"
    grep -q "modules in --initrd are for kernel $(cat "$KERNEL/version"), but --kernel is $(cat "$CACHE/kernel-stable/version")" "$logs/other-modules"
}
check "guest: modules of another kernel are reported" other_modules
# The same behind an open archive in a packed one, as Debian's initramfs-tools packs it.
other_packed_modules() {
    local GUEST=$logs/packed
    mkdir -p "$GUEST"
    (cd "$GUEST" && echo . | cpio -o -H newc --quiet >initrd) && zstd -qc "$1" >>"$GUEST/initrd" && other_modules
}
check "guest: modules of another kernel are reported, packed" other_packed_modules "$GUEST/initrd"
check "guest: the kernel in every form" "$ROOT/ci/kernel-forms" "$logs/forms"

. "$ROOT/ci/trace-tests.sh"

# Disks, on both kernels.
. "$ROOT/ci/disk-tests.sh"
joined other-half

# These alone need the host to themselves.
. "$ROOT/ci/kvm-tests.sh"
