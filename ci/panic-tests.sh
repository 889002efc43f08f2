# A guest whose kernel fails (docs/panic.md), sourced by ci/guest-tests.sh.
# shellcheck shell=bash disable=SC2154

# Boots, and has the kernel fail: `fails NAME PANIC WORDS STATUS LAST [OPTION...]`. PANIC is what stands for panic=-1 on the
# kernel's command line, WORDS are those of guest-tests/programs/test_panic.c, STATUS is what the run ends with, and LAST a pattern that its last
# line on standard error matches whole. Leaves $logs/NAME and $logs/NAME.host.
fails() {
    local name=$1 line=${GUEST_COMMAND_LINE/panic=-1/$2} words=$3 wanted=$4 last=$5 status=0
    shift 5
    "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" --accel soft --timeout 300 \
        --append "$line fencepost.run=\"test_panic $words\"" "$@" </dev/null >"$logs/$name" 2>"$logs/$name.host" || status=$?
    tail -n 20 "$logs/$name" "$logs/$name.host"
    echo "status $status, wanted $wanted; last line wanted: $last"
    [ "$status" = "$wanted" ] && tail -n 1 "$logs/$name.host" | grep -qxE "$last"
}
panicked="fencepost: the guest's kernel panicked: sysrq triggered crash"
place="at fppanic_store\+0x[0-9a-f]+/0x[0-9a-f]+ \[fencepost_panic_test\]"
null="1 oops \(BUG: kernel NULL pointer dereference, address: 0000000000000010, $place\)"
reported="fencepost: the guest's kernel reported"
warning="WARNING: CPU: 0 PID: [0-9]+ at [^ ]*/panic_test.c:[0-9]+ fppanic_warn\+0x[0-9a-f]+/0x[0-9a-f]+ \[fencepost_panic_test\]"

# A panicked kernel that waits for ever, one that restarts at once, and one that restarts after a second of its own.
panics_by_console() {
    fails "$1" panic=0 sysrq 5 "$panicked" && grep -q 'end Kernel panic' "$logs/$1" &&
        fails "$1" panic=-1 sysrq 5 "$panicked" &&
        fails "$1" panic=1 sysrq 5 "$panicked" && grep -q 'Rebooting in 1 seconds' "$logs/$1" &&
        fails "$1" panic=1 sysrq 5 "$panicked" --on-panic exit && ! grep -q 'Rebooting' "$logs/$1"
}

# The stock driver tells: the run ends at that instruction, after the trace and before the kernel's last line, and twice the same.
panics_by_device() {
    local name=$1 mode
    for mode in panic=0 panic=-1; do
        fails "$name" $mode "pvpanic sysrq" 5 "$panicked" --on-panic exit --memory-hash --stats || return 1
        grep -q 'stats: pvpanic: panics 1, crash-loads 0' "$logs/$name.host" && grep -q 'Call Trace:' "$logs/$name" &&
            ! grep -q 'end Kernel panic' "$logs/$name" || return 1
    done
    grep -E 'sha256|guest instructions' "$logs/$name.host" | sed 's/, [0-9.]* MIPS//' >"$logs/$name.first"
    fails "$name" panic=-1 "pvpanic sysrq" 5 "$panicked" --on-panic exit --memory-hash --stats
    grep -E 'sha256|guest instructions' "$logs/$name.host" | sed 's/, [0-9.]* MIPS//' | cmp - "$logs/$name.first" &&
        [ "$(wc -l <"$logs/$name.first")" = 3 ] &&
        # Its driver alone changes nothing.
        fails "$name" panic=-1 "pvpanic" 0 "stats: .*" --on-panic exit --stats && grep -q 'pvpanic: panics 0' "$logs/$name.host"
}

# An oops kills its task, or ends the run; in an interrupt it is a panic.
oopses() {
    # 137 and 139: init's, for a program that was killed by a signal.
    fails "$1" panic=-1 "store,0x10" 137 "$reported $null" &&
        fails "$1" panic=-1 "store,0x10" 5 "$reported $null" --on-panic exit &&
        fails "$1" panic=-1 "store,0x4141414141414141" 5 "$reported 1 oops \(.*general protection fault, .*, $place\)" --on-panic exit &&
        fails "$1" panic=-1 bug 5 "$reported 1 oops \(kernel BUG at .*/panic_test.c:[0-9]+!, at fppanic_bug.*\)" --on-panic exit &&
        fails "$1" panic=0 "interrupt,0x10" 5 \
            "fencepost: the guest's kernel panicked: Fatal exception in interrupt; it also reported $null"
}

# What the kernel goes on after is named, and is a status with --on-panic alone; `quiet` would hide it.
reports() {
    fails "$1" "panic=-1 loglevel=5" warn 0 "$reported 1 warning \($warning\)" &&
        fails "$1" "panic=-1 loglevel=5" warn 6 "$reported 1 warning \($warning\)" --on-panic exit &&
        fails "$1" "panic=-1 loglevel=5" "set=kernel/hung_task_timeout_secs=5 hang" 6 \
            "$reported [0-9]+ hung tasks \(the first: INFO: task .* blocked for more than [0-9]+ seconds.\)" --on-panic exit
}

# Of the sanitizers Debian builds KFENCE alone, and that not into its 6.1.
kfence() {
    fails "$1" "panic=-1 loglevel=5 kfence.sample_interval=10" free 6 \
        "$reported [0-9]+ sanitizer reports \(the first: BUG: KFENCE: use-after-free read in fppanic_use_after_free\+.*\)" --on-panic exit
}

# The CPU is shown where the driver wrote, and the machine is saved there: restored, the kernel goes on with its panic.
dumps() {
    fails "$1" panic=0 "pvpanic sysrq" 5 "$panicked" --on-panic dump --snapshot "$logs/$1.snapshot" || return 1
    grep -qE '^  rip 0xffffffff[0-9a-f]{8} ' "$logs/$1.host" && grep -q 'mmio write .* 1 bytes  0x1$' "$logs/$1.host" || return 1
    local status=0
    "$FENCEPOST" run --restore "$logs/$1.snapshot" --timeout 300 </dev/null >"$logs/$1" 2>"$logs/$1.host" || status=$?
    rm "$logs/$1.snapshot"
    cat "$logs/$1" "$logs/$1.host"
    [ "$status" = 5 ] && grep -q 'end Kernel panic' "$logs/$1" && tail -n 1 "$logs/$1.host" | grep -qxF "$panicked"
}

# A program's line without a time stamp is not the kernel's, where the kernel prints stamps.
no_fake() {
    fails "$1" "panic=-1 loglevel=5" "say=Kernel_panic_-_not_syncing:_x say=BUG:_x" 0 "stats: .*" --on-panic exit --stats &&
        grep -q 'not syncing: x' "$logs/$1"
}

for on in "" on_stable; do
    check "panic: by the console, with panic=0, -1 and 1${on:+, 6.1}" $on panics_by_console "panic${on:+-stable}"
    check "panic: by the stock pvpanic driver, twice${on:+, 6.1}" $on panics_by_device "pvpanic${on:+-stable}"
    check "panic: oopses${on:+, 6.1}" $on oopses "oops${on:+-stable}"
    check "panic: warnings and hung tasks${on:+, 6.1}" $on reports "reports${on:+-stable}"
done
check "panic: KFENCE" kfence panic-kfence
check "panic: a dump and a snapshot" dumps panic-dump
check "panic: a program's text is not the kernel's" no_fake panic-fake
