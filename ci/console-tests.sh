# Consoles as people use them, and the record of what is typed; sourced by ci/guest-tests.sh, whose functions it uses.
# The guest's shell is to expand what is typed.
# shellcheck shell=bash disable=SC2154,SC2016

# A guest with a shell on the console, whose input is this one's: `shell NAME [OPTION...]`; leaves $logs/NAME.text.
shell() {
    local name=$1 status=0
    shift
    "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd-shell" --accel soft --memory 384M --timeout 300 \
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

# A guest on a pseudo-terminal: `on_terminal NAME INITRD RUN STATUS [OPTION...] -- STEP...`, with the steps of ci/terminal.py.
on_terminal() {
    local name=$1 initrd=$2 run=$3 wanted=$4 status=0 options=()
    shift 4
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    "$ROOT/ci/terminal.py" "$logs/$name" "$@" -- "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/$initrd" --accel soft \
        --memory 384M --timeout 200 "${options[@]}" --append "$GUEST_COMMAND_LINE reboot=acpi fencepost.run=$run" || status=$?
    tail -n 20 "$logs/$name"
    [ "$status" = "$wanted" ] || { echo "status $status, not $wanted" && return 1; }
}

# The escape key's BREAK begins a SysRq on the serial console, and `h` has the kernel list the commands.
sysrq() {
    on_terminal "$1" initrd-shell sh 4 -- 'wait:# ' 'type:echo 1 >/proc/sys/kernel/sysrq; echo allowed-$((6*7))\n' 'wait:allowed-42' 'wait:# ' \
        'type:\x1dbh' 'wait:sysrq: HELP : loglevel' 'type:\nreboot -f\n'
}

# The serial console has the terminal's size at the start, which init sets.
size_at_start() {
    on_terminal "$1" initrd-shell sh 4 -- 'wait:# ' 'type:stty size\n' 'wait:24 80' 'type:reboot -f\n'
}

# hvc0 follows the terminal, which SIGWINCH tells of; the guest's shell hears of it by a SIGWINCH of its own.
size_follows() {
    on_terminal "$1" initrd-virtio getty_hvc0 0 --console hvc0 -- 'wait:# ' 'type:stty size\n' 'wait:24 80' 'wait:# ' 'size:33x101' \
        'type:until [ "$(stty size)" = "33 101" ]; do sleep 0.1; done; echo resized-$((6*7))\n' 'wait:resized-42' 'type:exit\n'
}

# Four CPUs suspend to idle, to the end: all interrupts but those that wake are off, and what is typed then wakes them. The drivers' devices,
# which were in D3hot, go on. The console stays on, so that its user sees when to type.
# `on_terminal` looks at the command line.
# shellcheck disable=SC2034
sleeps() {
    local GUEST_COMMAND_LINE="$GUEST_COMMAND_LINE no_console_suspend pm_debug_messages ignore_loglevel"
    on_terminal "$1" initrd-shell sh 4 --cpus 4 -- 'wait:# ' 'type:test_sharing >/tmp/before; echo before-$((6*7))\n' 'wait:before-42' \
        'type:echo enabled >/sys/class/tty/ttyS0/power/wakeup; echo freeze >/sys/power/state; echo "woken-$?-$((6*7))"\n' \
        'wait:PM: suspend-to-idle\s' 'type:\n' 'wait:woken-0-42' 'type:test_sharing >/tmp/after; cmp /tmp/before /tmp/after && echo after-$((6*7))\n' \
        'wait:after-42' 'type:cat /sys/devices/system/cpu/online\n' 'wait:0-3' 'type:reboot -f\n' || return 1
    [ "$(grep -ac 'resume from suspend-to-idle' "$logs/$1")" = 1 ] && grep -aq 'Triggering wakeup from IRQ' "$logs/$1"
}

# A kernel that panics on hvc0 alone is named as on the serial line.
panics_on_hvc0() {
    local line=${GUEST_COMMAND_LINE/console=ttyS0/console=hvc0} status=0
    "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd-virtio" --accel soft --timeout 300 --console hvc0 \
        --append "${line/panic=-1/panic=0} fencepost.run=panic_hvc0" </dev/null >"$logs/$1" 2>"$logs/$1.host" || status=$?
    tail -n 20 "$logs/$1" "$logs/$1.host"
    [ "$status" = 5 ] && tail -n 1 "$logs/$1.host" | grep -qxF "fencepost: the guest's kernel panicked: sysrq triggered crash"
}

# A script that is typed at times of the host's, recorded; the same run again without anybody who types, and from a snapshot of the
# recorded run. Another run's snapshot is refused.
typed_again() {
    local name=$1 status=0
    { script | while read -r line; do echo "$line" && sleep 0.02; done; } |
        shell "$name" --record-input "$logs/$name-input" --snapshot "$logs/$name.snapshot" --snapshot-at 1s --memory-hash || return 1
    done_by "$name" && grep -q '^[0-9]* serial0 [0-9a-f]*$' "$logs/$name-input" || return 1
    shell "$name-again" --replay-input "$logs/$name-input" --memory-hash </dev/null || return 1
    cmp "$logs/$name" "$logs/$name-again" || return 1
    "$FENCEPOST" run --restore "$logs/$name.snapshot" --replay-input "$logs/$name-input" --memory-hash --timeout 300 \
        </dev/null >"$logs/$name-rest" 2>"$logs/$name-rest.host" || status=$?
    [ "$status" = 4 ] || { cat "$logs/$name-rest.host" && return 1; }
    diff <(grep sha256 "$logs/$name.host") <(grep sha256 "$logs/$name-again.host") &&
        diff <(grep 'memory: sha256' "$logs/$name.host") <(grep 'memory: sha256' "$logs/$name-rest.host") || return 1
    grep -q 'memory: sha256' "$logs/$name.host" && tail -c "$(stat -c %s "$logs/$name-rest")" "$logs/$name" | cmp - "$logs/$name-rest" &&
        [ -s "$logs/$name-rest" ] || return 1
    # A record without what the snapshot's guest had.
    sed 1q "$logs/$name-input" >"$logs/$name-other"
    status=0
    "$FENCEPOST" run --restore "$logs/$name.snapshot" --replay-input "$logs/$name-other" </dev/null 2>"$logs/$name-refused" || status=$?
    rm "$logs/$name.snapshot"
    cat "$logs/$name-refused"
    [ "$status" = 2 ] && grep -q 'the snapshot was not taken in the run that it records' "$logs/$name-refused"
}

for on in "" on_stable; do
    check "console: BREAK is SysRq${on:+, 6.1}" $on sysrq "sysrq${on:+-stable}"
    check "console: the terminal's size at the start${on:+, 6.1}" $on size_at_start "size${on:+-stable}"
    check "console: hvc0 follows the terminal's size${on:+, 6.1}" $on size_follows "resized${on:+-stable}"
    check "cpus: suspend to idle, woken at the console${on:+, 6.1}" $on sleeps "sleeps${on:+-stable}"
    check "panic: on hvc0${on:+, 6.1}" $on panics_on_hvc0 "hvc0-panic${on:+-stable}"
    check "determinism: what is typed, recorded and again${on:+, 6.1}" $on typed_again "typed${on:+-stable}"
done
