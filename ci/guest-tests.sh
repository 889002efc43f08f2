# The Linux guest tests, sourced by ci/test: one `guest NAME SECONDS RUN [OPTION...]` each.
# ci/test sets `logs`, and ci/lib.sh the paths; options have commas in them.
# shellcheck shell=bash disable=SC2154,SC2054

guest selfmod 900 "selfmod"
# What the pages in docs/ state, for a stock kernel to find it: the date, and the ids of each function in the table of pci.md.
stated() {
    sed -nE 's/.*stands still at ([0-9-]+) [0-9:]+: .*/\1/p' "$ROOT/docs/machine.md"
    sed -nE 's/^\| (00:0[0-9]\.0) \| [^|]+ \| ([0-9a-f]{4}:[0-9a-f]{4}) \|.*/\1=\2/p' "$ROOT/docs/pci.md"
}
machine_as_stated="test_machine $(stated | tr '\n' ' ')"
guest machine 900 "$machine_as_stated"
guest iommu 900 "test_iommu;test_sg"
guest gpu 900 "test_gpu"
guest display 900 "test_display" --display width=320,height=240
guest camera 900 "test_camera"
# Freed memory is filled with a pattern, so that a use after free shows.
poisoned() {
    local GUEST_COMMAND_LINE="$GUEST_COMMAND_LINE slub_debug=P,kmalloc-*"
    "$@"
}
# Devices and drivers are removed, reset and suspended while user space holds all it can; the IOMMU finds what is still mapped.
poisoned guest life 900 "test_gpu_life;test_camera_life"
# The same for the display, with few frames a second and slow GPU jobs, so that removal comes before they end.
display_life=(--display width=128,height=96,hz=2 --gpu latency=20000000)
poisoned guest display-life 900 "test_display_commits;test_display_kms;test_display_life" "${display_life[@]}"
without_iommu() {
    local GUEST_COMMAND_LINE=${GUEST_COMMAND_LINE/intel_iommu=on/intel_iommu=off}
    "$@"
}
# A device that only its folder and one line know.
guest edu 300 "test_edu" --device edu,slot=5
without_iommu guest edu-no-iommu 300 "test_edu" --device edu,slot=5
without_iommu poisoned guest life-no-iommu 900 "test_gpu_life;test_camera_life"
without_iommu poisoned guest display-life-no-iommu 900 "test_display_life" "${display_life[@]}"
# Flows of other shapes than the demo's: without a GPU, without a camera, with a copy by the program, and one that stops.
other_flows="flows direct;flows copy;flows render;flows compositor;flows stopped"
flow_sizes=(--display width=160,height=120 --camera width=320,height=120)
guest flows 300 "$other_flows" "${flow_sizes[@]}"
# Virtio devices by the kernel's own drivers, which busybox's modprobe loads: the programs are guest-tests/scripts.
with_virtio() {
    # `guest`, which is in ci/test, looks at it.
    # shellcheck disable=SC2034
    local INITRD=initrd-virtio
    "$@"
}
with_virtio guest virtio-rng 300 "virtio_rng" --device virtio-rng,slot=7
with_virtio without_iommu guest virtio-rng-no-iommu 300 "virtio_rng" --device virtio-rng,slot=7
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

# The flow itself under this host's KVM, on a machine that was booted under soft: the drivers' interrupts, the fences and
# the flips, with every pixel checked. The kernel must trust the TSC to leave periodic ticks, which on a KVM that emulates
# kernel code cost more than there is between them; the two features would each be an assist at every reading of the clock.
#   moved NAME [OPTION...]
moved() {
    local name=$1
    shift
    demo "$name" --accel soft --rate 2 --frames 5 --timeout 240 --move 1=kvm --move 2=soft --append \
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

# The same on Debian 12's own kernel of the 6.1 series, whose payload is xz, with the drivers built for it.
on_stable() {
    local KERNEL=$CACHE/kernel-stable GUEST=$GUEST-stable
    "$@"
}
check "build: the guest of the 6.1 kernel" "$ROOT/ci/guest" --stable --shell
on_stable guest stable-machine 900 "$machine_as_stated"
on_stable guest stable-iommu 900 "test_iommu;test_sg"
on_stable with_virtio guest stable-virtio-rng 300 "virtio_rng" --device virtio-rng,slot=7
# A terminal with a size, and a program of the host's at the other end of the channel: `channel NAME`.
channel() {
    local socket=$logs/$1.socket harness
    "$ROOT/ci/channel-harness.py" "$socket" >"$logs/$1-harness" 2>&1 &
    harness=$!
    with_virtio guest "$1" 300 "virtio_console" --device virtio-console,columns=132,rows=43 --channel "$socket"
    wait "$harness" || { cat "$logs/$1-harness"; return 1; }
    grep -q 'words on hvc0' "$logs/guest-$1" && [ ! -e "$socket" ]
}
check "channel: the harness's words" channel virtio-console
check "channel: the same on the 6.1 kernel" on_stable channel stable-virtio-console
# The console's input goes to hvc0.
hvc0() {
    # The kernel's driver drops what is typed before a program has the terminal open. The guest's shell is to work the sum out; the
    # console is read while it is written.
    # shellcheck disable=SC2016,SC2094
    {
        for _ in $(seq 600); do
            if grep -q '# ' "$logs/hvc0" 2>/dev/null; then break; fi
            sleep 0.1
        done
        echo 'echo "typed $((6 * 7))"; exit'
        sleep 1
    } | timeout 100 "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd-virtio" \
        --accel soft --console hvc0 --append "$GUEST_COMMAND_LINE fencepost.run=\"getty_hvc0\"" >"$logs/hvc0" 2>&1
    cat "$logs/hvc0"
    grep -q 'typed 42' "$logs/hvc0"
}
check "console: a shell on hvc0" hvc0
# More serial ports, whose other ends are files: `serial_ports NAME`.
serial_ports() {
    local ends=("$logs/$1-1" "$logs/$1-2")
    with_virtio guest "$1" 300 "serial_ports" --serial "file:${ends[0]}" --serial "file:${ends[1]}"
    [ "$(cat "${ends[@]}" | tr -d '\r')" = "$(printf 'words on ttyS%s\n' 1 2)" ]
}
check "serial: words on two more ports" serial_ports serial-ports
check "serial: the same on the 6.1 kernel" on_stable serial_ports stable-serial-ports
# A network by passt, whose gateway is the host itself; the recorded run again without it. `network NAME`.
network() {
    local name=$1 server port status=0
    "$ROOT/ci/network-server.py" 127.0.0.1 >"$logs/$name-port" &
    server=$!
    until [ -s "$logs/$name-port" ]; do sleep 0.1; done
    port=$(cat "$logs/$name-port")
    with_virtio guest "$name" 300 "virtio_net dhcp $port" --net passt --record-input "$logs/$name-input" --memory-hash || status=1
    kill "$server"
    with_virtio guest "$name-replayed" 300 "virtio_net dhcp $port" --net passt --replay-input "$logs/$name-input" --memory-hash || status=1
    diff <(grep sha256 "$logs/guest-$name.host") <(grep sha256 "$logs/guest-$name-replayed.host") || status=1
    [ "$(grep -c sha256 "$logs/guest-$name.host")" = 2 ] || status=1
    return "$status"
}
# The same by a tap device, in a network namespace of its own.
network_tap() {
    # They are the inner shell's to expand.
    # shellcheck disable=SC2016
    unshare --net bash -c '
        set -e
        root=$1 logs=$2 line=$3
        shift 3
        ip link set lo up
        ip tuntap add fencepost0 mode tap
        ip addr add 198.51.100.1/24 dev fencepost0
        ip link set fencepost0 up
        "$root/ci/network-server.py" 198.51.100.1 >"$logs/tap-port" &
        until [ -s "$logs/tap-port" ]; do sleep 0.1; done
        "$@" "$line fencepost.run=\"virtio_net tap $(cat "$logs/tap-port")\"" </dev/null >"$logs/tap" 2>&1 || { cat "$logs/tap"; kill %1; exit 1; }
        kill %1' -- "$ROOT" "$logs" "$GUEST_COMMAND_LINE" "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd-virtio" --accel soft \
        --timeout 300 --net tap=fencepost0 --append || return 1
    [ "$(grep -c '^ok ' "$logs/tap")" = 5 ]
}
if [ -n "$(ip route show default)" ]; then
    check "network: passt, and its record" network virtio-net
    check "network: the same on the 6.1 kernel" on_stable network stable-virtio-net
else
    skipped+=("network: passt, and its record: the host has no default route, which passt asks for")
fi
if unshare --net true 2>/dev/null && [ -w /dev/net/tun ]; then
    check "network: a tap device" network_tap
else
    skipped+=("network: a tap device: no network namespace, or no /dev/net/tun")
fi
# The same seed gives the same numbers, and another one others.
virtio_numbers() {
    grep -h '^# numbers [0-9a-f]' "$logs/guest-$1.text"
}
virtio_seeds() {
    with_virtio guest virtio-rng-seed 300 "virtio_rng" --device virtio-rng,slot=7,seed=7 || return 1
    with_virtio guest virtio-rng-again 300 "virtio_rng" --device virtio-rng,slot=7 || return 1
    diff <(virtio_numbers virtio-rng) <(virtio_numbers virtio-rng-again) || return 1
    ! diff <(virtio_numbers virtio-rng) <(virtio_numbers virtio-rng-seed) >"$logs/diff" && [ -n "$(virtio_numbers virtio-rng-seed)" ]
}
check "determinism: the entropy device's seed" virtio_seeds
# Shared directories by the kernel's own driver, on a tree of random files: the host compares what the guest wrote and listed.
#   share_tree DIR ORDER   the same files made in another order, with ORDER a command that orders lines
share_tree() {
    local dir=$1 name
    mkdir -p "$dir/tree/a" "$dir/tree/b/c"
    seq 1 60 | "$2" | while read -r name; do
        perl -e 'srand($ARGV[0]); print pack("C*", map { int rand 256 } 1 .. $ARGV[0] * 577)' "$name" >"$dir/tree/b/c/f$name"
        echo "$name" >"$dir/tree/a/x$name"
    done
    (cd "$dir/tree" && find . -type f -exec sha256sum {} + | sort) >"$dir/sums"
    perl -e 'srand(64); my $piece = pack("C*", map { int rand 256 } 1 .. 1 << 16); print pack("N", $_), $piece for 1 .. 1023' >"$dir/big"
    mkfifo "$dir/pipe"
    ln -s /etc/passwd-of-the-host "$dir/escape"
    find "$dir" -exec touch -h -d '2026-01-01 00:00:00' {} +
}
#   shared_with NAME DIR
shared_with() {
    local name=$1 dir=$2 before=$failed big
    big=$(sha256sum <"$dir/big" | cut -d' ' -f1)
    mkdir "$logs/$name-out"
    with_virtio guest "$name" 300 "virtio_fs $big" --share "src=$dir" --share "out=$logs/$name-out,rw"
    [ "$failed" = "$before" ] || return 0
    check "$name: the host has what the guest wrote" written_by "$name" "$dir"
}
written_by() {
    (cd "$logs/$1-out/tree" && sha256sum --quiet -c "$2/sums") && [ "$(cat "$logs/$1-out/a/two")" = one ] &&
        [ ! -e "$logs/$1-out/gone" ]
}
same_listing() {
    local name
    for name in virtio-fs stable-virtio-fs; do
        sed -n 's/^# listing //p' "$logs/guest-$name.text" >"$logs/$name.listing"
        [ "$(wc -l <"$logs/$name.listing")" -gt 120 ] || return 1
    done
    diff "$logs/virtio-fs.listing" "$logs/stable-virtio-fs.listing"
}
share_tree "$logs/one" cat
share_tree "$logs/other" tac
shared_with virtio-fs "$logs/one"
on_stable shared_with stable-virtio-fs "$logs/other"
check "determinism: two copies of a shared directory" same_listing
on_stable guest stable-edu 300 "test_edu" --device edu,slot=5
on_stable guest stable-gpu 900 "test_gpu"
on_stable guest stable-display 900 "test_display" --display width=320,height=240
on_stable guest stable-camera 900 "test_camera"
on_stable poisoned guest stable-life 900 "test_gpu_life;test_camera_life"
on_stable poisoned guest stable-display-life 900 "test_display_commits;test_display_kms;test_display_life" "${display_life[@]}"
on_stable guest stable-flows 300 "$other_flows" "${flow_sizes[@]}"
check "demo: on the 6.1 kernel" on_stable demo stable

# A keyboard and a tablet by the stock drivers, and what the host does at them.
input_devices=(--device virtio-keyboard,slot=8 --device virtio-tablet,slot=9 --input "$ROOT/guest-tests/input/keys")
with_virtio guest virtio-input 300 "virtio_input" "${input_devices[@]}"
on_stable with_virtio guest stable-virtio-input 300 "virtio_input" "${input_devices[@]}"
# Two monitors by the stock driver.
gpu_outputs=(--device virtio-gpu,slot=6,outputs=2,width=320,height=240)
with_virtio guest virtio-gpu 300 "virtio_gpu 320 240" "${gpu_outputs[@]}" --trace "$logs/virtio-gpu.trace"
on_stable with_virtio guest stable-virtio-gpu 300 "virtio_gpu 320 240" "${gpu_outputs[@]}" --trace "$logs/stable-virtio-gpu.trace"
# What such a guest painted was on a screen, picture after picture, by the CRCs of the host's trace: `virtio_pictures NAME`.
virtio_pictures() {
    local painted
    mapfile -t painted < <(sed -nE 's/^# shown ([0-9]+)$/"crc":\1}/p' "$logs/guest-$1.text")
    [ ${#painted[@]} = 6 ] || { echo "the guest painted ${#painted[@]} pictures"; return 1; }
    "$FENCEPOST" trace convert "$logs/$1.trace" --to jsonl -o - | perl -e '
        while (<STDIN>) { shift @ARGV if @ARGV && /"ScanOut"/ && index($_, $ARGV[0]) >= 0 }
        die "not on a screen: @ARGV\n" if @ARGV' -- "${painted[@]}"
}
check "virtio-gpu: what was painted is on the screens" virtio_pictures virtio-gpu
check "virtio-gpu: the same on the 6.1 kernel" virtio_pictures stable-virtio-gpu

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

# A guest with a shell on the console, whose input is this one's: `shell NAME [OPTION...]`; leaves $logs/NAME.text.
shell() {
    local name=$1 status=0
    shift
    "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd-shell" --accel soft --memory 256M --timeout 300 \
        --append "$GUEST_COMMAND_LINE reboot=acpi fencepost.run=sh" "$@" >"$logs/$name" 2>"$logs/$name.host" || status=$?
    tr -d '\r' <"$logs/$name" >"$logs/$name.text"
    # The guest resets when it is done.
    [ "$status" = 4 ] && return
    tail -n 20 "$logs/$name.text" "$logs/$name.host"
    return 1
}

# A script for it, which the console's driver and the shell's start must not cost a byte. The console's echo of it has sums where
# the shell's answers have numbers: the two come mixed.
script() {
    local number
    for number in {0..60}; do echo "echo done-\$((1000 + $number))"; done
    echo "reboot -f"
}
script >"$logs/script"

# Whether a shell has done each line of the script, in order, once: `done_by NAME`.
done_by() {
    grep -oE 'done-[0-9]+' "$logs/$1.text" | diff - <(seq -f 'done-%g' 1000 1060)
}

piped() { script | shell "$1" && done_by "$1"; }
check "console: a script that is piped in from the start" piped piped
check "console: a script that is piped in, on the 6.1 kernel" on_stable piped stable-piped

# From a file it comes at the same cycles in every run.
from_file() {
    local turn
    for turn in 1 2; do shell "file-$turn" --memory-hash <"$logs/script" && done_by "file-$turn" || return 1; done
    grep -q '^guest memory: sha256' "$logs/file-1.host" && cmp "$logs/file-1" "$logs/file-2" &&
        cmp "$logs/file-1.host" "$logs/file-2.host"
}
check "determinism: a script from a file twice" from_file

# Input that never ends comes no faster than the line: the shell gets on with its work.
# The guest's shell expands it.
# shellcheck disable=SC2016
endless() { shell endless < <(yes 'N=$((N+1)); [ $N -lt 20 ] || reboot -f'); }
check "console: input without end" endless

. "$ROOT/ci/console-tests.sh"
. "$ROOT/ci/share-tests.sh"
. "$ROOT/ci/gdb-tests.sh"

# Debian's own i386 programs as they come, static and dynamic, and exceptions of C++ through the unwinder of libgcc.
#   debian NAME KERNEL
debian() {
    local KERNEL=$CACHE/$2 GUEST=$GUEST-debian
    guest "$1" 300 "debian-programs;throws;throws-static"
}
check "build: the guest with Debian's programs" "$ROOT/ci/debian"
debian debian kernel
debian stable-debian kernel-stable

. "$ROOT/ci/root-tests.sh"

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
guest seeded-gpu 900 "test_gpu" --seed 4
guest seeded-display 900 "test_display" --display width=320,height=240 --seed 5
guest seeded-camera 900 "test_camera" --seed 6
poisoned guest seeded-life 900 "test_gpu_life;test_camera_life" --seed 7

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
    cargo build --quiet --release --manifest-path "$ROOT/Cargo.toml" --example reset || return 1
    "${FENCEPOST%/*}/examples/reset" check "$logs/flow.snapshot" 3 >"$logs/resets" || return 1
    [ "$(grep -c "Exit(0)" "$logs/resets")" = 4 ] && [ "$(grep -c " 0 forgotten" "$logs/resets")" = 4 ]
}
check "snapshot: Linux returned to it in the middle of the flow" resets

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

# A script of ci whose every line counts as one test: `ok WHAT: ...`, `skipped: WHAT (why)` or `not ok WHAT: ...`.
lines_of() {
    local said=$logs/${1##*/}-said line
    "$@" >"$said" 2>&1 || true
    grep -qE '^(ok|skipped:) ' "$said" || fail "$1 printed nothing"
    while IFS= read -r line; do
        case $line in
        'ok '*) pass ;;
        'skipped: '*) skipped+=("${line#skipped: }") ;;
        'not ok '*) fail "$line" ;;
        *) printf '%s\n' "$line" >&2 ;;
        esac
    done <"$said"
}

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

# Disks, on both kernels.
. "$ROOT/ci/disk-tests.sh"

# The live view of a guest, in a browser and by a VNC client.
say "the live view"
lines_of "$ROOT/ci/view-test" "$logs/view"
lines_of "$ROOT/ci/view-test" --stable "$logs/view-stable"

# What a traced demo's outputs are to other decoders.
say "outputs of a traced demo"
if demo traced --trace "$logs/traced.fpt" >"$logs/check" 2>&1; then
    lines_of "$ROOT/ci/outputs-test" "$logs/traced.fpt" "$logs/outputs"
else
    tail -n 20 "$logs/check" >&2
    fail "demo: traced"
fi
