# Virtio devices by the kernel's own drivers, as `fencepost run` has them, each with its other end on the host; sourced by ci/guest-tests.sh.
# ci/test sets `logs`, and ci/lib.sh the paths; options have commas in them.
# shellcheck shell=bash disable=SC2154,SC2054

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
    # The guest's shell is to work the sum out; the console is read while it is written.
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
# What is typed before the guest's driver has opened the terminal is there when a program does: `hvc0_early NAME`.
hvc0_early() {
    # The guest's shell is to work the sum out.
    # shellcheck disable=SC2016
    echo 'echo "early $((6 * 7))"; exit' >"$logs/$1-typed"
    timeout 100 "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd-virtio" --accel soft --console hvc0 \
        --append "$GUEST_COMMAND_LINE fencepost.run=\"getty_hvc0\"" <"$logs/$1-typed" >"$logs/$1" 2>&1
    cat "$logs/$1"
    grep -q 'early 42' "$logs/$1"
}
check "console: what is typed before hvc0 is opened" hvc0_early hvc0-early
check "console: the same on the 6.1 kernel" on_stable hvc0_early stable-hvc0-early
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
    network_server "$name" || return 1
    with_virtio guest "$name" 300 "virtio_net dhcp $port" --net passt --record-input "$logs/$name-input" --memory-hash || status=1
    kill "$server"
    with_virtio guest "$name-replayed" 300 "virtio_net dhcp $port" --net passt --replay-input "$logs/$name-input" --memory-hash || status=1
    diff <(grep sha256 "$logs/guest-$name.host") <(grep sha256 "$logs/guest-$name-replayed.host") || status=1
    [ "$(grep -c sha256 "$logs/guest-$name.host")" = 2 ] || status=1
    return "$status"
}
# The same by a tap device, in a network namespace of its own.
network_tap() {
    export -f until_holds
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
        until_holds test -s "$logs/tap-port" || { kill %1; exit 1; }
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
    with_virtio guest virtio-rng 300 "virtio_rng" --device virtio-rng,slot=7 || return 1
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
# What such a guest painted was on a screen, picture after picture, by the CRCs of the
# host's trace: `virtio_pictures EVIDENCE`.
virtio_pictures() {
    local painted
    mapfile -t painted < <(sed -nE 's/^# shown ([0-9]+)$/"crc":\1}/p' "$1/output.txt")
    [ ${#painted[@]} = 6 ] || { echo "the guest painted ${#painted[@]} pictures"; return 1; }
    "$FENCEPOST" trace convert "$1/trace.fptrace" --to jsonl -o - | perl -e '
        while (<STDIN>) { shift @ARGV if @ARGV && /"ScanOut"/ && index($_, $ARGV[0]) >= 0 }
        die "not on a screen: @ARGV\n" if @ARGV' -- "${painted[@]}"
}
check "virtio-gpu: what was painted is on the screens" virtio_pictures "$logs/scenarios/virtio-gpu[6.12]"
check "virtio-gpu: the same on the 6.1 kernel" virtio_pictures "$logs/scenarios/virtio-gpu[6.1]"
# Our GPU draws into the stock driver's buffers, which wait for its fences: each picture is on the screen, and its journey in the trace.
#   gpu_to_virtio NAME
gpu_to_virtio() {
    local name=$1 evidence=$logs/$1 text
    mkdir -p "$evidence"
    cat "$GUEST/initrd-virtio" "$GUEST/initrd-shell" >"$GUEST/initrd-both"
    INITRD=initrd-both guest "$name" 300 gpu_to_virtio --device virtio-gpu,slot=6,width=320,height=240 --trace "$evidence/trace.fptrace"
    cp "$logs/guest-$name.text" "$evidence/output.txt"
    virtio_pictures "$evidence" && "$FENCEPOST" trace report "$evidence/trace.fptrace" --check >"$logs/$name.report" || return 1
    cat "$logs/$name.report"
    for text in "6 went program -> gpu -> virtio-gpu" "fence -> virtio-gpu" "virtio-gpu -> fence"; do
        grep -qF -- "$text" "$logs/$name.report" || return 1
    done
}
check "trace: journeys through our GPU to virtio-gpu" gpu_to_virtio gpu-to-virtio
check "trace: the same on the 6.1 kernel" on_stable gpu_to_virtio stable-gpu-to-virtio
