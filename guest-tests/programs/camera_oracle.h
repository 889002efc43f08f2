/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the pixels of a frame must be, by docs/camera.md: computed one sample at a time from the test pattern's or a chart's
 * definition, the controls and the format. Shares nothing with the device.
 */
#ifndef FENCEPOST_CAMERA_ORACLE_H
#define FENCEPOST_CAMERA_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The device's controls: values of V4L2. */
struct camera_controls {
	int32_t brightness;
	int32_t contrast;
	int32_t exposure;
	int32_t gain;
	int32_t hflip;
	int32_t vflip;
	/* 0 is the moving test pattern of the host's. */
	int32_t pattern;
};

/* Those that change nothing. */
#define CAMERA_CONTROLS_PLAIN { 0, 128, 256, 256, 0, 0, 0 }

struct camera_view {
	struct camera_controls controls;
	/* Whether codes of YCbCr have the full range. */
	bool full;
	/* Of the picture. */
	uint32_t width;
	uint32_t height;
	/* The part of the picture that is written, if it has a width, and where it goes in a frame of the picture's size. */
	uint32_t crop_left, crop_top, crop_width, crop_height;
	uint32_t compose_left, compose_top;
};

/* A frame as it lies in memory; @chroma is the second plane of NV12, wherever it is. */
struct camera_pixels {
	uint32_t fourcc;
	uint32_t stride;
	const uint8_t *luma;
	const uint8_t *chroma;
};

/* Whether every byte, padding included, is that of frame @n. Says what differs first. */
bool camera_oracle_agrees(const struct camera_view *view, uint32_t n,
			  const struct camera_pixels *pixels);

/* Writes frame @n as YUYV, NV12 or XBGR32, lines without padding. */
void camera_oracle_paint(const struct camera_view *view, uint32_t n, uint32_t fourcc, uint8_t *luma,
			 uint8_t *chroma);

#endif /* FENCEPOST_CAMERA_ORACLE_H */
