# `ci/bench --pixels`, sourced by ci/bench: what the GPU's conversion of a picture costs, beside memcpy of it.
# shellcheck shell=bash disable=SC2154

pixel_rounds=5
pixel_conversions=200
still_seconds=60

# Seconds of processor time of a command, which must end well.
processor_seconds() {
    local took TIMEFORMAT='%U %S'
    took=$({ time "$@" </dev/null >/dev/null 2>&1; } 2>&1) || die "failed: $*"
    awk '{print $1 + $2}' <<<"$took"
}

# Seconds that the GPU's jobs take the host in a guest that converts N pictures: `pixels_take WIDTH HEIGHT N`.
pixels_take() {
    "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" --accel soft --memory 512M --timeout 600 --stats \
        --append "$GUEST_COMMAND_LINE fencepost.run=\"pixels $1 $2 $3\"" </dev/null 2>&1 >/dev/null |
        sed -n 's/^stats: host time: .*calls of slot 1 \([0-9.]*\) s.*/\1/p' | grep . || die "the guest did not convert its pictures"
}

# Milliseconds of one conversion of a picture of this size.
conversion_takes() {
    local few many
    few=$(pixels_take "$1" "$2" 20) || exit 1
    many=$(pixels_take "$1" "$2" $((20 + pixel_conversions))) || exit 1
    awk -v few="$few" -v many="$many" -v n="$pixel_conversions" 'BEGIN {print (many - few) * 1000 / n}'
}

# Milliseconds of one memcpy of so many bytes.
memcpy_takes() {
    python3 - "$1" <<'END'
import sys, time
size = int(sys.argv[1])
source, target = bytearray(b"\1" * size), memoryview(bytearray(size))
start = time.process_time()
for _ in range(200):
    target[:] = source
print((time.process_time() - start) * 1000 / 200)
END
}

# NV12 to XRGB8888 of 1920x1080 through pages of 4 KiB behind the IOMMU.
pixels_cost() {
    local round conversion copy ratios
    say "conversions of NV12, 1920x1080, $pixel_rounds times"
    ratios=$(for ((round = 0; round < pixel_rounds; round++)); do
        conversion=$(conversion_takes 1920 1080) || exit 1
        copy=$(memcpy_takes $((1920 * 1080 * 4))) || exit 1
        awk -v conversion="$conversion" -v copy="$copy" 'BEGIN {
            printf "a conversion %.2f ms, memcpy of the picture it writes %.2f ms\n", conversion, copy > "/dev/stderr"
            print copy / conversion}'
    done)
    printf 'rate of the conversion, as a share of memcpy of what it writes: %s\n' "$(spread <<<"$ratios")"
}

# Seconds of a demo of N frames of 1920x1080: `demo_takes N FOLDER`.
demo_takes() {
    processor_seconds "$FENCEPOST" demo --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" --accel soft --size 1920x1080 \
        --frames "$1" --append "$GUEST_COMMAND_LINE" --out "$2"
}

# Seconds of a guest that shows one picture of 1920x1080 at 60 Hz for so long: `still_takes SECONDS on|off|written`.
still_takes() {
    processor_seconds "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" --accel soft --memory 512M --timeout 600 \
        --display width=1920,height=1080,hz=60 --append "$GUEST_COMMAND_LINE fencepost.run=\"still $1 $2\""
}

# What a second of a screen costs that nobody writes to, that is written to, and that is off: the guest's own ticks.
screen_cost() {
    local what few many
    say "a screen of 1920x1080 at 60 Hz"
    for what in off on written; do
        few=$(still_takes 1 "$what") || exit 1
        many=$(still_takes $((1 + still_seconds)) "$what") || exit 1
        awk -v what="$what" -v few="$few" -v many="$many" -v n="$still_seconds" \
            'BEGIN {printf "a second of a screen that is %s takes %.1f ms of one processor\n", what, (many - few) * 1000 / n}'
    done
}

# The demo at 60 frames a second, all threads on one processor, every pixel checked and every picture written.
demo_speed() {
    local folder few many
    folder=$(mktemp -d)
    say "a demo of 1920x1080"
    few=$(demo_takes 60 "$folder") || exit 1
    many=$(demo_takes 360 "$folder") || exit 1
    awk -v few="$few" -v many="$many" \
        'BEGIN {printf "a second of 60 frames takes %.2f s of one processor\n", (many - few) / 5}'
    rm -rf "$folder"
}
