# The demo, whose every pixel the host checks, and what must not change a run; sourced by ci/guest-tests.sh.
# ci/test sets `logs`, and ci/lib.sh the paths; options have commas in them.
# shellcheck shell=bash disable=SC2154,SC2054

# Screens and pictures of the flows that `flows` makes.
flow_sizes=(--display width=160,height=120 --camera width=320,height=120)
# The whole flow with every pixel checked by the host: `demo NAME [OPTION...]`.
demo() {
    local name=$1
    shift
    "$FENCEPOST" demo --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" --append "$GUEST_COMMAND_LINE" \
        --accel soft --timeout 900 --frames 30 --out "$logs/$name" "$@" </dev/null
}

# A video of random noise, so that no two pixels agree by chance: `noise COLOURSPACE BYTES_A_FRAME`, 96x64.
noise() {
    perl -e '
        srand(7);
        print "YUV4MPEG2 W96 H64 F30:1 Ip A1:1 C$ARGV[0]\n";
        for (1 .. 5) { print "FRAME\n", pack("C*", map { int rand 256 } 1 .. $ARGV[1]) }' "$1" "$2"
}

noise 420jpeg 9216 >"$logs/full.y4m"
noise 422 12288 >"$logs/limited.y4m"
check "demo: test pattern as NV12" demo pattern
check "demo: 4:2:0 full range as YUYV" demo full --format yuyv --camera-source "$logs/full.y4m"
check "demo: 4:2:2 limited range as NV12" demo limited --camera-source "$logs/limited.y4m"
check "demo: 1920x1080" demo large --size 1920x1080 --frames 10
# The pictures of a demo of this PNG, with these options, have this size: `png_shown WIDTHxHEIGHT [OPTION...]`.
png_shown() {
    local size=$1
    shift
    demo png --camera-source "$ROOT/docs/images/weston.png" --frames 3 "$@" || return 1
    # Its width and height are big-endian words at byte 16.
    [ "$(od -An -tu4 --endian=big -j16 -N8 "$logs/png/frame-0002.png" | awk '{print $1 "x" $2}')" = "$size" ]
}
# `refused_with TEXT [OPTION...]`
refused_with() {
    local text=$1 said status=0
    shift
    said=$("$FENCEPOST" demo --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" "$@" 2>&1 </dev/null) || status=$?
    echo "$said"
    [ "$status" = 2 ] && [ "$(wc -l <<<"$said")" = 1 ] && [[ $said == *"$text"* ]]
}
check "demo: no virtio IOMMU without its driver" refused_with "--iommu virtio" --iommu virtio
check "demo: no size beyond the picture's" refused_with "--size 802x500" --size 802x500 --camera-source "$ROOT/docs/images/weston.png"
check "demo: a PNG in its own size" png_shown 800x500
check "demo: a part of a PNG" png_shown 320x240 --size 320x240

# Whether standard input has events with these words, the first of each at a later cycle than, or that of, the one before.
in_order() {
    perl -e '
        my @lines = grep { /"cycles":/ } <STDIN>;
        my $before = 0;
        for my $word (@ARGV) {
            my ($line) = grep { index($_, $word) >= 0 } @lines or die "nothing has $word\n";
            my ($at) = $line =~ /"cycles":(\d+)/ or die "no cycles: $line";
            die "$word at $at is before $before\n" if $at < $before;
            $before = $at;
        }' -- "$@"
}

check "demo: on the 6.1 kernel" on_stable demo stable

# The same inputs must give the same event log, console and guest memory, to the byte.
deterministic() {
    local turn
    for turn in 1 2; do
        demo "turn-$turn" --camera-source "$logs/full.y4m" --trace "$logs/events-$turn" \
            --memory-hash 2>"$logs/said-$turn" || return 1
        grep -oE 'sha256 [0-9a-f]{64}' "$logs/said-$turn" >"$logs/hash-$turn"
    done
    [ "$(wc -l <"$logs/hash-1")" = 2 ] || { echo "the log's and the memory's hashes were not printed"; return 1; }
    [ -s "$logs/events-1" ] || { echo "no event was logged"; return 1; }
    cmp "$logs/events-1" "$logs/events-2" && diff "$logs/hash-1" "$logs/hash-2" &&
        cmp "$logs/turn-1/console.log" "$logs/turn-2/console.log"
}
check "determinism: the demo run twice" deterministic

# The host's recorder shows nowhere in the guest: the same events, memory and console with it and without.
unseen() {
    demo unrecorded --frames 6 --memory-hash 2>"$logs/said-unrecorded" || return 1
    demo recorded --frames 6 --memory-hash --trace "$logs/recorded.trace" --trace-categories all,-guest \
        2>"$logs/said-recorded" || return 1
    local which
    for which in recorded unrecorded; do grep -oE 'sha256 [0-9a-f]{64}' "$logs/said-$which" >"$logs/hash-$which"; done
    [ "$(wc -l <"$logs/hash-recorded")" = 2 ] || { echo "the hashes were not printed"; return 1; }
    diff "$logs/hash-recorded" "$logs/hash-unrecorded" && cmp "$logs/recorded/console.log" "$logs/unrecorded/console.log"
}
check "determinism: a recorded run is the unrecorded one" unseen

# A seed varies what hardware may vary: every pixel is still right, the same seed gives the same run, others other runs.
seeds() {
    local seed turn
    for turn in 1 2 3 3-again; do
        seed=${turn%-again}
        demo "seed-$turn" --frames 6 --camera-source "$logs/full.y4m" --seed "$seed" --memory-hash \
            2>"$logs/said-seed-$turn" || return 1
        grep -oE 'sha256 [0-9a-f]{64}' "$logs/said-seed-$turn" >"$logs/hash-seed-$turn"
        [ "$(wc -l <"$logs/hash-seed-$turn")" = 2 ] || { echo "the hashes were not printed"; return 1; }
    done
    diff "$logs/hash-seed-3" "$logs/hash-seed-3-again" || return 1
    [ "$(cat "$logs"/hash-seed-[123] | sort -u | wc -l)" = 6 ] || { echo "two seeds gave the same run"; return 1; }
}
check "determinism: the demo with seeds" seeds
# Linux saved in the middle of the flow and restored is Linux that was not: the same memory at the end, the same console and
# the same events, those of the guest's own kernel among them, from the snapshot on.
snapshots() {
    local flow=("$FENCEPOST" run --accel soft --timeout 900 --memory-hash) name cycle
    local boot=(--kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" --memory 256M --display width=320,height=240
        --append "$GUEST_COMMAND_LINE fencepost.run=\"flow --frames 6\"")
    saved_run() {
        local name=$1
        shift
        "${flow[@]}" --trace "$logs/$name.trace" "$@" >"$logs/$name.console" 2>"$logs/$name.said" </dev/null || {
            cat "$logs/$name.said"
            return 1
        }
        sed -n 's/^guest memory: //p' "$logs/$name.said" >"$logs/$name.memory"
        [ -s "$logs/$name.memory" ] || { echo "the memory's hash was not printed"; return 1; }
        "$FENCEPOST" trace convert "$logs/$name.trace" --to jsonl -o - | grep '"cycles":' >"$logs/$name.events"
    }
    saved_run snap-none "${boot[@]}" || return 1
    saved_run snap-saved "${boot[@]}" --snapshot "$logs/flow.snapshot" --snapshot-at mark:1 || return 1
    saved_run snap-restored --restore "$logs/flow.snapshot" || return 1
    for name in snap-saved snap-restored; do
        cmp "$logs/snap-none.memory" "$logs/$name.memory" || return 1
    done
    cmp "$logs/snap-none.events" "$logs/snap-saved.events" || return 1
    grep -q '"dma_fence_signaled"' "$logs/snap-restored.events" || { echo "no guest events after the restore"; return 1; }
    # The guest's agent sends events some time after they happened: those from before the snapshot are only some of them.
    cycle=$("$FENCEPOST" trace report "$logs/snap-restored.trace" | sed -n 's/^Began: at a snapshot, at cycle \([0-9]*\);.*/\1/p')
    [ -n "$cycle" ] || { echo "the report does not say where the trace began"; return 1; }
    for name in snap-none snap-restored; do
        awk -F '[:,]' -v cycle="$cycle" '$2 + 0 >= cycle + 0' "$logs/$name.events" >"$logs/$name.after"
    done
    [ "$(wc -l <"$logs/snap-none.after")" -gt 100 ] || { echo "nothing happened after the snapshot"; return 1; }
    cmp "$logs/snap-none.after" "$logs/snap-restored.after" || return 1
    tail -c "$(wc -c <"$logs/snap-restored.console")" "$logs/snap-none.console" | cmp - "$logs/snap-restored.console"
}
check "snapshot: Linux restored in the middle of the flow" snapshots

# Linux that is returned to that snapshot does the same again, three times, to the byte, and no page is forgotten.
resets() {
    "$ROOT/ci/release" --quiet -p fencepost --example reset || return 1
    "${FENCEPOST%/*}/examples/reset" check "$logs/flow.snapshot" 3 >"$logs/resets" || return 1
    [ "$(grep -c "Exit(0)" "$logs/resets")" = 4 ] && [ "$(grep -c " 0 forgotten" "$logs/resets")" = 4 ]
}
check "snapshot: Linux returned to it in the middle of the flow" resets

# Who shows a guest changes nothing in it: the same memory and console with a live view, and with the pace that comes with it, as without.
viewed() {
    local flow=("$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" --accel soft --memory 256M --timeout 300 --memory-hash
        --append "$GUEST_COMMAND_LINE fencepost.run=\"flows compositor\"" "${flow_sizes[@]}") which
    for which in unviewed viewed; do
        if [ "$which" = viewed ]; then flow+=(--view --vnc); fi
        "${flow[@]}" </dev/null >"$logs/$which" 2>"$logs/$which.host" || { cat "$logs/$which.host"; return 1; }
        grep -oE 'sha256 [0-9a-f]{64}' "$logs/$which.host" >"$logs/$which.hash"
    done
    [ "$(wc -l <"$logs/viewed.hash")" = 2 ] || { echo "the hashes were not printed"; return 1; }
    diff "$logs/unviewed.hash" "$logs/viewed.hash" && cmp "$logs/unviewed" "$logs/viewed"
}
check "determinism: a run with a live view is the run without" viewed

# What a traced demo's outputs are to other decoders.
say "outputs of a traced demo"
if demo traced --trace "$logs/traced.fpt" >"$check_output" 2>&1; then
    lines_of "$ROOT/ci/outputs-test" "$logs/traced.fpt" "$logs/outputs"
else
    tail -n 20 "$check_output" >&2
    fail "demo: traced"
fi
