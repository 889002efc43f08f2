/* SPDX-License-Identifier: GPL-2.0 */
/*
 * References to the device and to this module for what DRM's core lets outlive both: out-fences,
 * whose names and lock are the CRTC's, and the CRC file in debugfs, which uses the CRTC when it is
 * closed. Open files and dma-bufs of the device have references of their own.
 */
#ifndef DISPLAY_HOLD_H
#define DISPLAY_HOLD_H

#include <linux/workqueue.h>

struct drm_atomic_state;
struct drm_device;
struct fpd_hold;

struct fpd_hold *fpd_hold_crcs(struct drm_device *drm);
void fpd_hold_end_crcs(struct fpd_hold *hold);
int fpd_hold_for_fences(struct drm_atomic_state *state);

int fpd_hold_count(struct drm_device *drm);
int fpd_hold_init(void);
void fpd_hold_exit(void);

#endif
