// SPDX-License-Identifier: GPL-2.0
/* Atomic commits and flips of a display: see display_commit.h. */
#include "display_commit.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

void display_add(struct display_change *c, uint32_t object, uint32_t prop, uint64_t value)
{
	if (!c->objects_len || c->objects[c->objects_len - 1] != object)
		c->objects[c->objects_len++] = object;
	c->counts[c->objects_len - 1]++;
	c->props[c->props_len] = prop;
	c->values[c->props_len++] = value;
}

int display_commit(struct display *d, struct display_change *c, uint32_t flags,
		   uint64_t user_data)
{
	struct drm_mode_atomic atomic = {
		.flags = flags,
		.count_objs = c->objects_len,
		.objs_ptr = (uintptr_t)c->objects,
		.count_props_ptr = (uintptr_t)c->counts,
		.props_ptr = (uintptr_t)c->props,
		.prop_values_ptr = (uintptr_t)c->values,
		.user_data = user_data,
	};

	return display_ioctl(d->fd, DRM_IOCTL_MODE_ATOMIC, &atomic);
}

void display_add_plane(struct display *d, struct display_change *c, uint32_t fb)
{
	const struct display_properties *p = &d->props;
	uint32_t width = d->mode.hdisplay, height = d->mode.vdisplay;

	display_add(c, d->plane, p->plane_fb_id, fb);
	display_add(c, d->plane, p->plane_crtc_id, fb ? d->crtc : 0);
	if (!fb)
		return;
	display_add(c, d->plane, p->plane_src_x, 0);
	display_add(c, d->plane, p->plane_src_y, 0);
	/* Source coordinates are 16.16 fixed point. */
	display_add(c, d->plane, p->plane_src_w, (uint64_t)width << 16);
	display_add(c, d->plane, p->plane_src_h, (uint64_t)height << 16);
	display_add(c, d->plane, p->plane_crtc_x, 0);
	display_add(c, d->plane, p->plane_crtc_y, 0);
	display_add(c, d->plane, p->plane_crtc_w, width);
	display_add(c, d->plane, p->plane_crtc_h, height);
}

int display_modeset(struct display *display, uint32_t fb)
{
	const struct display_properties *p = &display->props;
	struct display_change c = { 0 };

	display_add(&c, display->connector, p->connector_crtc_id, display->crtc);
	display_add(&c, display->crtc, p->crtc_mode_id, display->mode_blob);
	display_add(&c, display->crtc, p->crtc_active, 1);
	display_add_plane(display, &c, fb);
	return display_commit(display, &c, DRM_MODE_ATOMIC_ALLOW_MODESET, 0);
}

int display_off(struct display *display)
{
	const struct display_properties *p = &display->props;
	struct display_change c = { 0 };

	display_add(&c, display->connector, p->connector_crtc_id, 0);
	display_add(&c, display->crtc, p->crtc_mode_id, 0);
	display_add(&c, display->crtc, p->crtc_active, 0);
	display_add_plane(display, &c, 0);
	return display_commit(display, &c, DRM_MODE_ATOMIC_ALLOW_MODESET, 0);
}

int display_flip(struct display *display, uint32_t fb, int in_fence,
		 int *out_fence, uint64_t user_data)
{
	const struct display_properties *p = &display->props;
	/* The kernel writes a 32-bit descriptor through OUT_FENCE_PTR. */
	int32_t fence = -1;
	struct display_change c = { 0 };
	int ret;

	display_add(&c, display->plane, p->plane_fb_id, fb);
	if (in_fence >= 0)
		display_add(&c, display->plane, p->plane_in_fence_fd, in_fence);
	if (out_fence)
		display_add(&c, display->crtc, p->crtc_out_fence_ptr, (uintptr_t)&fence);
	ret = display_commit(display, &c,
			     DRM_MODE_ATOMIC_NONBLOCK | DRM_MODE_PAGE_FLIP_EVENT, user_data);
	if (out_fence)
		*out_fence = fence;
	return ret;
}

int display_page_flip(struct display *display, uint32_t fb, uint64_t user_data)
{
	struct drm_mode_crtc_page_flip flip = {
		.crtc_id = display->crtc,
		.fb_id = fb,
		.flags = DRM_MODE_PAGE_FLIP_EVENT,
		.user_data = user_data,
	};

	return display_ioctl(display->fd, DRM_IOCTL_MODE_PAGE_FLIP, &flip);
}

/* The flip event in len bytes of events, if there is one. */
static int find_flip(const char *buf, ssize_t len, struct display_flip *flip)
{
	struct drm_event_vblank event;
	struct drm_event header;

	for (ssize_t at = 0; at + (ssize_t)sizeof(header) <= len; at += header.length) {
		memcpy(&header, buf + at, sizeof(header));
		if (header.length < sizeof(header) || at + (ssize_t)header.length > len)
			return -EPROTO;
		if (header.type != DRM_EVENT_FLIP_COMPLETE || header.length < sizeof(event))
			continue;
		memcpy(&event, buf + at, sizeof(event));
		flip->user_data = event.user_data;
		flip->crtc = event.crtc_id;
		flip->sequence = event.sequence;
		flip->time_ns = event.tv_sec * 1000000000ull + event.tv_usec * 1000ull;
		return 0;
	}
	return -EAGAIN;
}

int display_wait_flip(struct display *display, int timeout_ms,
		      struct display_flip *flip)
{
	struct pollfd waiter = { .fd = display->fd, .events = POLLIN };
	/* Room for one event: the kernel keeps those that do not fit. */
	char buf[sizeof(struct drm_event_vblank)];

	for (;;) {
		int ret = poll(&waiter, 1, timeout_ms);
		ssize_t len;

		if (ret < 0 && errno == EINTR)
			continue;
		if (ret <= 0)
			return ret ? -errno : -ETIME;
		len = read(display->fd, buf, sizeof(buf));
		if (len < 0)
			return -errno;
		ret = find_flip(buf, len, flip);
		if (ret != -EAGAIN)
			return ret;
	}
}

int display_wait_vblank(struct display *display, uint32_t *sequence)
{
	union drm_wait_vblank wait = { 0 };
	int ret;

	wait.request.type = _DRM_VBLANK_RELATIVE;
	wait.request.type |= display->crtc_index << _DRM_VBLANK_HIGH_CRTC_SHIFT;
	wait.request.sequence = 1;
	ret = display_ioctl(display->fd, DRM_IOCTL_WAIT_VBLANK, &wait);
	if (!ret && sequence)
		*sequence = wait.reply.sequence;
	return ret;
}
