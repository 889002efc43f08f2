# What the drivers do at faults of their hardware (docs/faults.md), sourced by ci/test: each check passes with the drivers, and
# fails with those that were built without their recovery code.
# ci/test sets `logs`, and ci/lib.sh the paths.
# shellcheck shell=bash disable=SC2154

# fault_check FOLDER PROGRAM KIND FAULT: whether the check ends as it should, and the fault took place.
#   FOLDER   guest, whose drivers recover, or guest-no-recovery, whose drivers do not
fault_check() {
    local folder=$1 program=$2 kind=$3 fault=$4 wanted=0 status=0
    if [ "$folder" = guest-no-recovery ]; then wanted=1; fi
    "$FENCEPOST" run --kernel "$KERNEL/vmlinuz" --initrd "${GUEST%/*}/$folder/initrd" --accel soft --timeout 300 --stats \
        --append "$GUEST_COMMAND_LINE fencepost.run=\"$program $kind\"" --fault "$fault,mark=70" \
        --display width=320,height=240 </dev/null >"$logs/fault" 2>&1 || status=$?
    cat "$logs/fault"
    [ "$status" = "$wanted" ] && grep -q "^stats: fault .*: took place 1 times" "$logs/fault"
}

# fault PROGRAM KIND FAULT: with recovery and without. same: there is nothing to recover by, and both pass.
fault() {
    check "fault: $3 recovered" fault_check guest "$1" "$2" "$3"
    check "fault: $3 found without recovery" fault_check guest-no-recovery "$1" "$2" "$3"
}
same() { check "fault: $3 withstood" fault_check guest "$1" "$2" "$3"; }

check "drivers without recovery" "$ROOT/ci/guest" --no-recovery
fault fault_gpu hang gpu:hang
fault fault_gpu job-error gpu:job-error
fault fault_gpu irq-lost gpu:irq-lost
fault fault_gpu out-of-order gpu:out-of-order,after=7
fault fault_gpu dma-error gpu:dma-error,after=4
fault fault_gpu descriptor-error gpu:descriptor-error
fault fault_gpu translation iommu:translation,slot=1,after=4
fault fault_gpu link-reset gpu:link-reset
fault fault_gpu removal gpu:removal
fault fault_camera drop camera:drop
fault fault_camera irq-lost camera:irq-lost
fault fault_camera short camera:short
fault fault_camera corrupt camera:corrupt,lines=3
fault fault_camera overrun camera:overrun
fault fault_camera dma-error camera:dma-error,access=write
fault fault_camera descriptor-error camera:descriptor-error,after=2
fault fault_camera sensor-lost camera:sensor-lost
fault fault_display irq-lost display:irq-lost,vector=1
fault fault_display flip-stuck display:flip-stuck
same fault_display vblank-lost display:vblank-lost
same fault_display underrun display:underrun
same fault_gpu slow gpu:slow,factor=100
same fault_gpu irq-late gpu:irq-late
same fault_gpu irq-twice gpu:irq-twice
same fault_gpu irq-spurious gpu:irq-spurious
