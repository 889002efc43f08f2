# The Linux guest tests, sourced by ci/test: one `guest NAME SECONDS RUN [OPTION...]` each.
# shellcheck shell=bash disable=SC2154

# Runs a guest test only when its program was built.
guest_if_built() {
    if [ -e "$GUEST/programs/${3%% *}" ]; then
        guest "$@"
    else
        skipped+=("guest $1: there is no program ${3%% *}")
    fi
}

guest selfmod 900 "selfmod"
guest_if_built iommu 900 "test_iommu"
guest_if_built gpu 900 "gpu_test"
guest_if_built display 900 "test_display" --display width=320,height=240
guest_if_built camera 900 "test_camera"
guest_if_built flow 900 "flow --frames 30"
if [ -e "$GUEST/programs/flow" ]; then
    check "determinism: the flow run twice" deterministic flow "flow --frames 10"
else
    check "determinism: a boot run twice" deterministic boot "selfmod --rounds 3"
fi
