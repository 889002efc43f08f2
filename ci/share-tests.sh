# Shared directories beyond what every guest does with them; sourced by ci/guest-tests.sh, whose functions it uses.
# shellcheck shell=bash disable=SC2154

# A share whose host has no room: `share_is_full NAME`.
share_is_full() {
    local name=$1 mounted=$logs/$1-small
    mkdir -p "$mounted"
    as_root mount -t tmpfs -o size=2M,mode=1777 none "$mounted" || return 1
    with_virtio guest "$name" 300 "virtio_fs_full" --share "out=$mounted,rw" || true
    as_root umount "$mounted"
}

# A share to which the guest may write so much and no more: `share_is_bounded NAME`.
share_is_bounded() {
    local dir=$logs/$1-bounded
    mkdir "$dir"
    with_virtio guest "$1" 300 "virtio_fs_bounded" --share "out=$dir,rw" --max-disk 2M
    check "$1: the host has no more than that" [ "$(du -sk "$dir" | cut -f1)" -le 2100 ]
}

# A machine that is saved with a share mounted and files open there, and the one that is restored: `share_is_kept NAME`.
share_is_kept() {
    local name=$1 dir=$logs/$1-kept status=0
    mkdir "$dir"
    seq 1 5000 >"$dir/lines"
    # What the shell has read of `lines` is its own affair: it reads byte for byte.
    seq 2 5000 >"$dir/rest"
    echo other >"$dir/other"
    with_virtio guest "$name" 300 "virtio_fs_kept" --share "out=$dir,rw" --snapshot "$logs/$name.snapshot" --snapshot-at mark:9
    mv "$dir/written" "$logs/$name-written"
    # The file as it was when the machine was saved.
    echo before >"$dir/written"
    "$FENCEPOST" run --restore "$logs/$name.snapshot" --timeout 300 </dev/null >"$logs/$name-restored" 2>"$logs/$name-restored.host" || status=$?
    rm "$logs/$name.snapshot"
    check "$name: the restored guest goes on with its files" was_kept "$name" "$status"
}
was_kept() {
    cat "$logs/$1-restored" "$logs/$1-restored.host"
    [ "$2" = 0 ] && [ "$(printf 'before\nbehind\n')" = "$(cat "$logs/$1-written")" ] &&
        cmp "$logs/$1-written" "$logs/$1-kept/written" &&
        diff <(sed -n '/behind the mark/,$p' "$logs/guest-$1") "$logs/$1-restored"
}

share_is_full share-full
share_is_bounded share-bounded
share_is_kept share-kept
on_stable share_is_full stable-share-full
on_stable share_is_bounded stable-share-bounded
on_stable share_is_kept stable-share-kept
