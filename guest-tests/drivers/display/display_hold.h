/* SPDX-License-Identifier: GPL-2.0 */
/*
 * References to the device and to this module for what DRM's core lets outlive both: out-fences,
 * whose names and lock are the CRTC's or the write-back connector's, write-back jobs, and the CRC
 * file in debugfs, which uses the CRTC when it is closed. Open files and dma-bufs of the device have
 * references of their own.
 */
#ifndef FENCEPOST_DISPLAY_HOLD_H
#define FENCEPOST_DISPLAY_HOLD_H

#include <linux/workqueue.h>

struct drm_atomic_state;
struct drm_device;
struct fpdisp_hold;

/* For as long as CRCs are collected, or there is a write-back job; NULL without memory. */
struct fpdisp_hold *fpdisp_hold_start(struct drm_device *drm);
void fpdisp_hold_end_later(struct fpdisp_hold *hold);
int fpdisp_hold_for_fences(struct drm_atomic_state *state);

int fpdisp_hold_count(struct drm_device *drm);
int fpdisp_hold_init(void);
void fpdisp_hold_exit(void);

#endif
