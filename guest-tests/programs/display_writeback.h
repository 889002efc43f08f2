/* SPDX-License-Identifier: GPL-2.0 */
/* A display's write-back connector; results are those of display.h. */
#ifndef FENCEPOST_DISPLAY_WRITEBACK_H
#define FENCEPOST_DISPLAY_WRITEBACK_H

#include "display.h"
#include "display_commit.h"

/* The first connector of this type (DRM_MODE_CONNECTOR_*) that the display's CRTC can have; 0 if there is none. */
uint32_t display_find_connector(struct display *display, uint32_t type);

/* Asks for write-back connectors, and returns that of the display's CRTC; 0 if there is none. */
uint32_t display_writeback_connector(struct display *display);

/* A connector's property: its id or 0, its value in *value, unless that is NULL. */
uint32_t display_connector_property(struct display *display, uint32_t connector, const char *name, uint64_t *value);

/*
 * Has a commit write what the display's CRTC shows to fb. fence: if not NULL, set to a sync_file that signals when it is
 * written; it must outlive the commit.
 */
void display_add_writeback(struct display *display, struct display_change *change, uint32_t connector, uint32_t fb,
			   int32_t *fence);

#endif /* FENCEPOST_DISPLAY_WRITEBACK_H */
