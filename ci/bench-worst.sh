# `ci/bench --worst`, sourced by ci/bench: how long the host waits at most while a hostile guest does the largest thing that it can.
# The guests (guest-tests/micro/worst.c, worstvirtio.c, worstcpu.c) do one each; the machine's loop measures the time between two looks at the flag by
# which signals and time-outs come, and --stats says the longest. A noisy host makes that longer, never shorter: the least of the runs counts.
# shellcheck shell=bash disable=SC2154

worst_bound_ms=10
worst_devices=(
    "fill:GPU: 1 GiB filled" "fill-rows:GPU: 65,536 rows of 16,380 bytes filled" "copy:GPU: 1 GiB copied"
    "copy-thin:GPU: 65,536 rows of 4 bytes copied, each in its own page" "copy-bytes:GPU: 32,768 segments of a byte copied"
    "copy-context:GPU: 128 MiB copied by a context's pages, nothing in any TLB" "checksum:GPU: CRC of 1 GiB"
    "convert:GPU: 8192 x 8192 pixels of YUYV converted" "convert-nv12:GPU: 8192 x 8192 pixels of NV12 converted"
    "scale:GPU: 8192 x 8192 pixels scaled" "blend:GPU: 8192 x 8192 pixels blended"
    "blend-thin:GPU: 8192 rows of a pixel blended by a context's pages" "rotate:GPU: 8192 x 8192 pixels turned"
    "rotate-context:GPU: the same by a context's pages, nothing in any TLB"
    "compute:GPU: a program of 2^24 instructions at one place" "compute-places:GPU: a program at 2^22 places, windows of 16 MiB"
    "lists:GPU: three lists of 32,768 entries read" "invalidate:IOMMU: 32,767 descriptors by one write"
    "scan-out:display: 4000 x 4000 pixels in 15,625 pages" "frame:camera: a frame of 4096 x 4096 pixels in 32,768 segments"
)
worst_processor=(
    "rep-movs:REP MOVSB over 512 MiB" "rep-movs-down:REP MOVSB downwards over 64 MiB" "rep-scas:REPE SCASB over 64 MiB"
    "rep-outs:REP OUTSB, 1,048,576 times" "rep-stos-registers:REP STOSD over registers" "rep-movs-registers:REP MOVSD from registers"
    "registers:writes of a doorbell" "x87:x87 functions" "fxsave:FXSAVE and FXRSTOR" "cpuid:CPUID" "walks:loads that walk tables"
    "flushes:writes of CR3" "much-code:more code than is kept" "code-written:a device writes over 240,000 blocks"
    "one-chain:16,000 blocks that hash alike"
)

worst_virtio=(
    "net-chains:virtio network: 256 frames of 1,023 pieces by one notification"
    "console-chains:virtio console: 64 buffers of 1,023 pieces by one notification"
    "gpu-picture:virtio GPU: a picture of 4096 x 4096 pixels in 16,384 pages, with a cursor"
    "iommu-unmap:virtio IOMMU: 262,144 mappings gone by one request" "iommu-parts:virtio IOMMU: 64 requests of 1,023 pieces by one notification"
)

# The options of a guest's machine, beside those that all have.
worst_options() {
    case $1 in
    iommu-*) echo "--iommu virtio" ;;
    *) echo "--device virtio-net,slot=5 --device virtio-console,slot=6 --device virtio-gpu,slot=7" ;;
    esac
}

# The least of the longest times of some runs, in ms, and what took it.
worst_time() {
    local guest=$1 memory=$2 action=$3 n options=()
    [ "$guest" != worstvirtio ] || read -ra options <<<"$(worst_options "$action")"
    for ((n = 0; n < worst_runs; n++)); do
        "$FENCEPOST" run --kernel "$micro/$guest" --memory "$memory" --accel soft --append "$action" --camera width=4096,height=4096 \
            "${options[@]}" --stats --timeout 300 </dev/null 2>&1 | tee "$worst_log" |
            sed -n 's/.*stats: longest time between two looks at the host: \([0-9.]*\) ms, \(.*\)/\1 \2/p' | grep . || {
            cat "$worst_log" >&2
            die "the guest '$guest $action' did not end as it should"
        }
    done | sort -g | head -1
}

worst() {
    local entry name took what over=0 verdict guest memory entries
    worst_runs=3
    worst_log=$(mktemp)
    while [ $# -gt 0 ]; do
        case $1 in
        --fencepost) FENCEPOST=$2 && shift ;;
        --runs) worst_runs=$2 && shift ;;
        *) break ;;
        esac
        shift
    done
    printf '%-72s %9s  %s\n' "action, least of $worst_runs runs" "ms" "bound $worst_bound_ms ms; in"
    for guest in worst worstvirtio worstcpu; do
        memory=512M entries=("${worst_devices[@]}")
        [ "$guest" != worstvirtio ] || entries=("${worst_virtio[@]}")
        [ "$guest" != worstcpu ] || { memory=2G entries=("${worst_processor[@]}"); }
        for entry in "${entries[@]}"; do
            name=${entry%%:*}
            [ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
            read -r took what < <(worst_time "$guest" "$memory" "$name") || exit 1
            verdict=under
            awk -v took="$took" -v bound="$worst_bound_ms" 'BEGIN {exit !(took > bound)}' && verdict=OVER && over=$((over + 1))
            printf '%-72s %9s  %s; %s\n' "$name: ${entry#*:}" "$took" "$verdict" "$what"
        done
    done
    rm -f "$worst_log"
    echo "$over over the bound"
    [ "$over" = 0 ]
}
