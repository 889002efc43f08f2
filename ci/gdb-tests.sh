# Debian's gdb and Debian's kernel (docs/gdb.md), sourced by ci/guest-tests.sh.
# gdb has variables of its own.
# shellcheck shell=bash disable=SC2154,SC2016

# An ELF file with functions of the kernel at their addresses, which its own /proc/kallsyms tells: the package of the kernel has no
# symbols. `symbols NAME FUNCTION...`; leaves $logs/NAME.elf.
symbols() {
    local name=$1 names address function text
    shift
    names=$(IFS='|' && echo "$*")
    { echo "grep -E ' [tT] (_stext|$names)\$' /proc/kallsyms"; echo "reboot -f"; } | shell "$name" || return 1
    grep -oE "[0-9a-f]{16} [tT] ($names|_stext)\$" "$logs/$name.text" >"$logs/$name.symbols"
    [ "$(wc -l <"$logs/$name.symbols")" = $(($# + 1)) ] || return 1
    text=$(awk '$3 == "_stext" { print $1 }' "$logs/$name.symbols")
    {
        printf '.section .kernel,"ax",@nobits\n_stext: .skip 0x2000000\n'
        while read -r address _ function; do
            [ "$function" = _stext ] ||
                printf '.globl %s\n.type %s,@function\n.set %s, _stext + (0x%s - 0x%s)\n' "$function" "$function" "$function" "$address" "$text"
        done <"$logs/$name.symbols"
    } | as -o "$logs/$name.o" - && ld --section-start=.kernel="0x$text" -e 0 -o "$logs/$name.elf" "$logs/$name.o"
}

# gdb on the run that listens at a socket: `with_gdb SOCKET ELF COMMAND...`.
with_gdb() {
    local socket=$1 elf=$2 command commands=()
    shift 2
    until_holds test -S "$socket"
    for command in "$@"; do commands+=(-ex "$command"); done
    timeout 300 gdb -q -nx -batch -ex "set pagination off" -ex "target remote $socket" "${commands[@]}" "$elf" 2>&1
}

# The machine's own words that must be the same: instructions, events, memory.
of_the_run() { grep -E 'sha256|guest instructions' "$1" | sed 's/, [0-9.]* MIPS//'; }

# Breakpoints, a watchpoint, steps and a mark; the run is the one without. Each of the machine's CPUs is a thread, and a breakpoint stops
# whichever comes to it: `gdb_kernel NAME CPUS`.
gdb_kernel() {
    local name=$1 cpus=$2 socket=$logs/$1.socket run
    symbols "$name-symbols" do_init_module vfs_open || return 1
    run=("$FENCEPOST" run --cpus "$cpus" --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" --accel soft --timeout 300 --memory-hash --stats
        --append "$GUEST_COMMAND_LINE fencepost.run=\"test_panic\"")
    "${run[@]}" </dev/null >"$logs/$name-alone" 2>"$logs/$name-alone.host" || true
    rm -f "$socket"
    "${run[@]}" --gdb "unix:$socket" </dev/null >"$logs/$name" 2>"$logs/$name.host" &
    with_gdb "$socket" "$logs/$name-symbols.elf" "break do_init_module" continue 'p $cs & 3' "x/8xb \$rdi" "delete" \
        'info threads' "thread $cpus" 'p $cr0 & 1' "hbreak vfs_open" continue 'stepi 20' 'p $cr0 & 1' 'eval "watch *(long*)%lu", $rsp - 8' continue delete detach >"$logs/$name.gdb"
    wait "$!"
    cat "$logs/$name.gdb" "$logs/$name.host"
    grep -q 'Breakpoint 1, 0x.* in do_init_module ()' "$logs/$name.gdb" &&
        grep -q 'Breakpoint 2, 0x.* in vfs_open ()' "$logs/$name.gdb" &&
        grep -q '^New value = ' "$logs/$name.gdb" && grep -q '= 1$' "$logs/$name.gdb" && cmp "$logs/$name-alone" "$logs/$name" &&
        [ "$(grep -cE '^[* ] [0-9]+ +Thread .*\(CPU [0-9]+, (running|halted)\)' "$logs/$name.gdb")" = "$cpus" ] &&
        [ "$(of_the_run "$logs/$name.host" | wc -l)" = 3 ] &&
        diff <(of_the_run "$logs/$name-alone.host") <(of_the_run "$logs/$name.host")
}

# Back to the write that changed a word, a step before it, on again to the same place with the same registers, and back to a breakpoint of
# another function: the run is the one without. The symbols and the run alone are gdb_kernel's: `gdb_back NAME CPUS KERNEL-CHECK`.
gdb_back() {
    local name=$1 cpus=$2 other=$3 socket=$logs/$1.socket digest='pipe info registers | sha256sum'
    rm -f "$socket"
    "$FENCEPOST" run --cpus "$cpus" --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" --accel soft --timeout 600 --memory-hash --stats \
        --append "$GUEST_COMMAND_LINE fencepost.run=\"test_panic\"" --gdb "unix:$socket" </dev/null >"$logs/$name" 2>"$logs/$name.host" &
    with_gdb "$socket" "$logs/$other-symbols.elf" 'break do_init_module' continue delete 'eval "watch *(long*)%lu", $rsp - 8' \
        continue 'set $there = $pc' 'set $cpu = $_thread' "$digest" reverse-continue 'set $before = $pc' reverse-stepi 'p $pc == $before' \
        stepi 'p $pc == $before' continue 'p $pc == $there && $_thread == $cpu' "$digest" delete 'break vfs_open' reverse-continue \
        'p $pc == vfs_open' delete 'break do_init_module' continue delete detach >"$logs/$name.gdb"
    wait "$!"
    cat "$logs/$name.gdb" "$logs/$name.host"
    [ "$(grep -c '^New value = ' "$logs/$name.gdb")" -ge 3 ] && [ "$(grep -oE '^\$[0-9]+ = [01]$' "$logs/$name.gdb" | cut -d= -f2 | tr -d ' \n')" = 0111 ] &&
        [ "$(grep -E '^[0-9a-f]{64}  -$' "$logs/$name.gdb" | sort | uniq -c | awk '{ print $1 }')" = 2 ] &&
        grep -q 'Breakpoint 4, 0x.* in do_init_module ()' "$logs/$name.gdb" && cmp "$logs/$other-alone" "$logs/$name" &&
        diff <(of_the_run "$logs/$other-alone.host") <(of_the_run "$logs/$name.host")
}

# A panic stops the guest for gdb; when that has gone, the guest goes on to its end: `gdb_at_panic NAME`.
gdb_at_panic() {
    local name=$1 status=0 socket
    : >"$logs/$name.host"
    "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "$GUEST/initrd" --accel soft --timeout 300 --on-panic gdb \
        --append "${GUEST_COMMAND_LINE/panic=-1/panic=0} fencepost.run=\"test_panic sysrq\"" </dev/null >"$logs/$name" 2>"$logs/$name.host" &
    until_holds grep -q 'waits for: gdb' "$logs/$name.host"
    socket=$(sed -n "s/.*target remote \([^']*\)'.*/\1/p" "$logs/$name.host")
    with_gdb "$socket" "$logs/${name/panic/kernel}-symbols.elf" 'p/x $rip' 'x/2i $pc' detach >"$logs/$name.gdb"
    wait "$!" || status=$?
    cat "$logs/$name.gdb" "$logs/$name.host"
    [ "$status" = 5 ] && grep -qE '^\$1 = 0xffffffff[0-9a-f]{8}$' "$logs/$name.gdb" && grep -q 'end Kernel panic' "$logs/$name"
}

# A scenario that failed waits at its end, and goes back to its beginning: `failed_scenario NAME`.
failed_scenario() {
    local name=$1 socket=$logs/$1.socket status=0
    rm -f "$socket"
    "$FENCEPOST" test "$ROOT/guest-tests/scenarios/harness" --filter =status --gdb "unix:$socket" --results "$logs/$name.results" \
        </dev/null >"$logs/$name" 2>&1 &
    # Who comes earlier meets the guest on its way.
    until_holds grep -q 'stands at its end' "$logs/$name"
    with_gdb "$socket" /bin/true 'set $end = $pc' reverse-stepi stepi 'p $pc == $end' reverse-continue detach >"$logs/$name.gdb"
    wait "$!" || status=$?
    cat "$logs/$name.gdb" "$logs/$name"
    [ "$status" = 1 ] && grep -q '^\$1 = 1$' "$logs/$name.gdb" && grep -q 'No more reverse-execution history' "$logs/$name.gdb" &&
        [ "$(grep -c "target remote $socket" "$logs/$name")" = 1 ] && grep -q '^0 passed, 1 failed' "$logs/$name"
}

check "gdb: Debian's kernel, stopped and unchanged" gdb_kernel gdb-kernel 1
check "gdb: back to a write, and on again" gdb_back gdb-back 1 gdb-kernel
check "gdb: at a panic" gdb_at_panic gdb-panic
check "gdb: Debian's kernel, stopped and unchanged, 6.1, four CPUs" on_stable gdb_kernel gdb-kernel-stable 4
check "gdb: back to a write, and on again, 6.1, four CPUs" on_stable gdb_back gdb-back-stable 4 gdb-kernel-stable
check "gdb: at a panic, 6.1" on_stable gdb_at_panic gdb-panic-stable
check "gdb: a scenario that failed" failed_scenario gdb-scenario
