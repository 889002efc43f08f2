# The flow under KVM, whose guests keep the host's time; sourced by ci/guest-tests.sh when nothing else runs, after ci/demo-tests.sh, whose
# functions it uses.
# shellcheck shell=bash disable=SC2154

# The flow itself under this host's KVM, on a machine that was booted under soft: the drivers' interrupts, the fences and
# the flips, with every pixel checked. The kernel must trust the TSC to leave periodic ticks, which on a KVM that emulates
# kernel code cost more than there is between them; the two features would each be an assist at every reading of the clock.
#   moved NAME [OPTION...]
moved() {
    local name=$1
    shift
    demo "$name" --accel soft --rate 2 --frames 5 --move 1=kvm --move 2=soft --append \
        "$GUEST_COMMAND_LINE tsc=reliable nowatchdog clearcpuid=rdtscp,lfence_rdtsc" "$@" 2>"$logs/$name-said" || {
        cat "$logs/$name-said"
        return 1
    }
    cat "$logs/$name-said"
    grep -q "moves to kvm: 1" "$logs/$name-said" && grep -q "moves to soft: 1" "$logs/$name-said"
}

# The same traced, with the agent in the guest: nothing of what it sent is left out, both kinds of stamps are named, each
# frame's journey is complete over both back ends, and the guest's own events under KVM lie where they belong.
moved_traced() {
    local trace=$logs/moved.trace
    moved moved-traced --trace "$trace" || return 1
    ! grep -E '^trace: .*(lost|left out)' "$logs/moved-traced-said" || return 1
    "$FENCEPOST" trace report "$trace" --check --complete 5 >"$logs/moved.report" || {
        cat "$logs/moved.report"
        return 1
    }
    cat "$logs/moved.report"
    grep -q '^Stamps: .*by turns.*moved between soft and kvm 2 times' "$logs/moved.report" || return 1
    "$FENCEPOST" trace convert "$trace" --to jsonl -o "$logs/moved.jsonl" || return 1
    # Between the two moves, by their stamps: what the camera did and what the guest saw of it.
    sed -n '/"Moved":{"to":"Kvm"}/,/"Moved":{"to":"Soft"}/p' "$logs/moved.jsonl" >"$logs/moved.kvm"
    in_order '"Moved":{"to":"Kvm"}' '"FrameEnd"' '"vb2_buf_done"' '"Latch"' '"Moved":{"to":"Soft"}' \
        <"$logs/moved.kvm" || return 1
    "$FENCEPOST" trace query --json --fence ring0:3 "$trace" |
        in_order '"FenceWrite"' '"MsiRaised"' '"name":"dma_fence_signaled"'
}
if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
    check "demo: the flow moves to kvm and back" moved moved
    check "trace: the flow that moves to kvm and back" moved_traced
else
    skipped+=("demo: the flow moves to kvm and back: /dev/kvm cannot be opened")
    skipped+=("trace: the flow that moves to kvm and back: /dev/kvm cannot be opened")
fi
