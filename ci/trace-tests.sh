# What is in a traced demo, and in traced flows of other shapes; sourced by ci/guest-tests.sh.
# ci/test sets `logs`, ci/lib.sh the paths, and ci/demo-tests.sh `demo` and `in_order`.
# shellcheck shell=bash disable=SC2154,SC2054

# A traced demo has the guest's events of every system, none ahead of its cause on the other side: `traced NAME`.
traced() {
    local trace=$logs/$1.trace system word
    demo "$1" --frames 6 --trace "$trace" || return 1
    "$FENCEPOST" trace report "$trace" | tee "$logs/$1.report" || return 1
    grep -q '^Causality: no event stands before its cause' "$logs/$1.report" || return 1
    {
        "$FENCEPOST" trace query --json --frame 2 "$trace" &&
            "$FENCEPOST" trace query --json --fence ring0:3 "$trace"
    } >"$logs/$1.json" || return 1
    [ "$(grep -c '^{"schema":"fencepost-trace-query/1","stamps":"exact cycles' "$logs/$1.json")" = 2 ] ||
        { echo "a query does not say what its stamps are"; return 1; }
    for system in dma_fence vb2 v4l2 drm gpu_scheduler irq; do
        grep -q "\"system\":\"$system\"" "$logs/$1.json" || { echo "no event of $system"; return 1; }
    done
    # Texts are plain in the file: the probes' exporters and importers.
    for word in videobuf2_vmalloc 0000:00:01.0 0000:00:03.0; do
        grep -qa "$word" "$trace" || { echo "no dma-buf probe says $word"; return 1; }
    done
    "$FENCEPOST" trace convert "$trace" --to jsonl -o - | dma_bufs || return 1
    "$FENCEPOST" trace query --json --fence ring0:3 "$trace" | in_order '"FenceWrite"' '"MsiRaised"' \
        '"name":"dma_fence_signaled"' || return 1
    "$FENCEPOST" trace query --json --frame 2 "$trace" | in_order '"FrameEnd"' '"InterruptDelivered"' '"vb2_buf_done"'
}

# Whether the probes in dma-buf are right: a thread maps each buffer page by page right after it says so, all of it, and
# the inodes that it lets go in the end are those that it had.
dma_bufs() {
    perl -e '
        my (%left, %had, %gone);
        while (<STDIN>) {
            my ($name, $pid) = /"name":"(\w+)","cpu":\d+,"pid":(\d+)/ or next;
            my %field = /"(\w+)":(\d+)/g;
            if ($name eq "dmabuf_map") {
                die "two at once: $_" if $left{$pid};
                $had{$field{inode}}++;
                $left{$pid} = $field{mapped} ? 0 : $field{size};
            } elsif ($name eq "map" && $left{$pid}) {
                $left{$pid} -= $field{size};
                die "more pages than the buffer has: $_" if $left{$pid} < 0;
            } elsif ($name eq "dmabuf_release") {
                $gone{$field{inode}}++;
            }
        }
        die "pages are missing\n" if grep { $_ } values %left;
        my ($had, $gone) = map { join " ", sort { $a <=> $b } keys %$_ } \%had, \%gone;
        die "mapped: $had; released: $gone\n" if $had ne $gone || $had eq "" || $gone{0};
        print "dma-bufs: $had\n"'
}

check "trace: the guest's own events, on the device's axis" traced traced
check "trace: the same on the 6.1 kernel" on_stable traced traced-stable

# In a traced demo every frame's journey is complete, and nothing of it stands before its cause: `journeys NAME`.
journeys() {
    demo "$1" --frames 12 --camera-source "$logs/full.y4m" --trace "$logs/$1.trace" || return 1
    "$FENCEPOST" trace report "$logs/$1.trace" --check --complete 12
}
check "trace: every journey is complete, every cause comes first" journeys journeys
check "trace: the same journeys on the 6.1 kernel" on_stable journeys journeys-stable

# Flows of other shapes, traced, one boot each: the report must have each line's text: `traced_flow NAME MODE TEXT...`.
traced_flow() {
    local log=$logs/$1-$2 mode=$2 text
    shift 2
    "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" --accel soft --memory 256M --timeout 300 \
        --append "$GUEST_COMMAND_LINE fencepost.run=\"flows $mode\"" "${flow_sizes[@]}" --trace "$log.trace" \
        </dev/null >"$log" 2>&1 || { cat "$log"; return 1; }
    "$FENCEPOST" trace report "$log.trace" --check >"$log.report" || { cat "$log.report"; return 1; }
    for text; do
        grep -qF -- "$text" "$log.report" || { cat "$log.report"; echo "$mode: no \"$text\""; return 1; }
    done
}

# Ten pictures go each flow's way; of the flow that stops, one frame arrives.
camera_flows() {
    traced_flow "$1" direct "10 went camera -> display" "1 went program -> display" "display -> camera" || return 1
    traced_flow "$1" copy "10 went camera -> program (copies) -> display" "program -> camera" || return 1
    traced_flow "$1" stopped "1 went camera -> gpu -> display" "1 ended with the program" "1 complete" || return 1
}
# A flip at every vertical blank. The program shows one picture first.
program_flows() {
    traced_flow "$1" render "10 went program -> gpu -> display" "fence -> display" || return 1
    traced_flow "$1" compositor "11 went program -> display" "Frames: 11: 11 complete" "display -> program" || return 1
}
check "trace: journeys that begin with the camera" camera_flows flows
check "trace: the same on the 6.1 kernel" on_stable camera_flows stable-flows
check "trace: journeys that begin with a program" program_flows flows
check "trace: the same on the 6.1 kernel" on_stable program_flows stable-flows
