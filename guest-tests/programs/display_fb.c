// SPDX-License-Identifier: GPL-2.0
/* Framebuffers of a display: see display_fb.h. */
#include "display_fb.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include <drm/drm_fourcc.h>

static void close_handle(struct display *d, uint32_t handle)
{
	struct drm_gem_close arg = { .handle = handle };

	display_ioctl(d->fd, DRM_IOCTL_GEM_CLOSE, &arg);
}

/* Wraps fb->handle; on failure the handle is closed. */
static int add_fb(struct display *d, uint32_t offset, struct display_fb *fb)
{
	struct drm_mode_fb_cmd2 add = {
		.width = fb->width,
		.height = fb->height,
		.pixel_format = DRM_FORMAT_XRGB8888,
		.handles = { fb->handle },
		.pitches = { fb->pitch },
		.offsets = { offset },
	};
	int ret = display_ioctl(d->fd, DRM_IOCTL_MODE_ADDFB2, &add);

	if (ret)
		close_handle(d, fb->handle);
	fb->fb = add.fb_id;
	return ret;
}

int display_create_dumb(struct display *display, struct display_fb *fb)
{
	struct drm_mode_create_dumb create = {
		.width = display->mode.hdisplay,
		.height = display->mode.vdisplay,
		.bpp = 32,
	};
	int ret = display_ioctl(display->fd, DRM_IOCTL_MODE_CREATE_DUMB, &create);

	if (ret)
		return ret;
	fb->handle = create.handle;
	fb->width = create.width;
	fb->height = create.height;
	fb->pitch = create.pitch;
	fb->size = create.size;
	return add_fb(display, 0, fb);
}

void *display_map_dumb(struct display *display, const struct display_fb *fb)
{
	struct drm_mode_map_dumb map = { .handle = fb->handle };
	void *pixels;

	if (display_ioctl(display->fd, DRM_IOCTL_MODE_MAP_DUMB, &map))
		return NULL;
	pixels = mmap(NULL, fb->size, PROT_READ | PROT_WRITE, MAP_SHARED,
		      display->fd, map.offset);
	return pixels == MAP_FAILED ? NULL : pixels;
}

int display_import(struct display *display, int dmabuf, uint32_t width,
		   uint32_t height, uint32_t pitch, uint32_t offset,
		   struct display_fb *fb)
{
	struct drm_prime_handle prime = { .fd = dmabuf };
	int ret = display_ioctl(display->fd, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime);

	if (ret)
		return ret;
	fb->handle = prime.handle;
	fb->width = width;
	fb->height = height;
	fb->pitch = pitch;
	fb->size = (uint64_t)pitch * height;
	return add_fb(display, offset, fb);
}

int display_export(struct display *display, const struct display_fb *fb)
{
	struct drm_prime_handle prime = {
		.handle = fb->handle,
		.flags = DRM_CLOEXEC | DRM_RDWR,
	};
	int ret = display_ioctl(display->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime);

	return ret ? ret : prime.fd;
}

void display_destroy_fb(struct display *display, struct display_fb *fb)
{
	display_ioctl(display->fd, DRM_IOCTL_MODE_RMFB, &fb->fb);
	close_handle(display, fb->handle);
	memset(fb, 0, sizeof(*fb));
}
