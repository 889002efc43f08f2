// SPDX-License-Identifier: GPL-2.0
/*
 * What user space may hold of the GPU when its device or its driver goes away, is reset or sleeps, in KTAP: each of the
 * holdings below with each action of life.h. A loss ends what is held with ENODEV; after a reset or sleep everything goes
 * on as if nothing had been.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dma-buf.h>

#include <fencepost_pci.h>

#include "camera.h"
#include "display.h"
#include "display_fb.h"
#include "gpu_client.h"
#include "gpu_held.h"
#include "iommu_trace.h"
#include "ktap.h"
#include "life.h"

#define OTHER_PATTERN 0x0badcafe

static const struct life_device gpu_device = {
	.slot = FENCEPOST_PCI_NAME_GPU,
	.name = FENCEPOST_GPU_DRIVER_NAME,
};

/* Their buffers are foreign memory for the GPU. */
static struct display display = { .mode = { .hdisplay = 64, .vdisplay = 64 } };
static struct display_fb fb;
static struct camera camera = { .fd = -1 };

/* A descriptor of something of the GPU's, or -1. */
static int shared = -1;

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Every way to use the file is refused, or every way works. */
static int check_file(enum life_action action)
{
	struct drm_fencepost_gpu_command command = gpu_fill(&gpu_held.buffers[A], GPU_HELD_BYTES, OTHER_PATTERN);
	struct drm_fencepost_gpu_info info;
	struct gpu_buffer more = { 0 };
	int wanted = life_is_loss(action) ? -ENODEV : 0;
	int results[4];

	results[0] = gpu_ioctl(gpu_held.gpu, DRM_IOCTL_FENCEPOST_GPU_INFO, &info);
	results[1] = gpu_run(gpu_held.gpu, 0, &command);
	results[2] = gpu_buffer_create(gpu_held.gpu, GPU_HELD_BYTES, &more);
	gpu_buffer_destroy(gpu_held.gpu, &more);
	results[3] = gpu_export(gpu_held.gpu, gpu_held.buffers[B].handle);
	if (results[3] >= 0) {
		close(results[3]);
		results[3] = 0;
	}
	for (int i = 0; i < 4; i++)
		if (results[i] != wanted)
			return results[i] ? results[i] : -EEXIST;
	/* Memory is memory, whatever became of the device. */
	if (!gpu_held_is_filled(gpu_held.buffers[A].map, wanted ? GPU_HELD_PATTERN : OTHER_PATTERN) ||
	    !gpu_held_is_filled(gpu_held.buffers[B].map, GPU_HELD_PATTERN))
		return -EBADMSG;
	memset(gpu_held.buffers[B].map, 0, GPU_HELD_BYTES);
	return 0;
}

static int take_mapping(void)
{
	int ret = gpu_held_open();

	gpu_held_close();
	return ret;
}

static int check_mapping(enum life_action action)
{
	bool kept = gpu_held_is_filled(gpu_held.buffers[A].map, GPU_HELD_PATTERN);

	(void)action;
	memset(gpu_held.buffers[A].map, 0, GPU_HELD_BYTES);
	return kept && gpu_held_is_filled(gpu_held.buffers[A].map, 0) ? 0 : -EBADMSG;
}

static int take_export(void)
{
	int ret = gpu_held_open();

	if (!ret)
		shared = gpu_export(gpu_held.gpu, gpu_held.buffers[A].handle);
	gpu_held_unmap();
	gpu_held_close();
	return ret ? ret : shared < 0 ? shared : 0;
}

/* The pages are there for the CPU, and for another device that takes them now. */
static int check_export(enum life_action action)
{
	uint8_t *map = mmap(NULL, GPU_HELD_BYTES, PROT_READ, MAP_SHARED, shared, 0);
	struct drm_gem_close close = { 0 };
	int ret = map == MAP_FAILED ? -errno : gpu_held_is_filled(map, GPU_HELD_PATTERN) ? 0 : -EBADMSG;

	(void)action;
	if (map != MAP_FAILED)
		munmap(map, GPU_HELD_BYTES);
	if (!ret)
		ret = gpu_import(display.fd, shared, &close.handle);
	if (!ret)
		ret = gpu_ioctl(display.fd, DRM_IOCTL_GEM_CLOSE, &close);
	return ret;
}

/* Imports a dma-buf, draws into it, and closes the descriptor. */
static int draw_into(int dmabuf)
{
	struct gpu_buffer imported = { 0 };
	struct drm_fencepost_gpu_command command;
	int ret = dmabuf < 0 ? dmabuf : gpu_import(gpu_held.gpu, dmabuf, &imported.handle);

	command = gpu_fill(&imported, 4096, GPU_HELD_PATTERN);
	if (!ret)
		ret = gpu_run(gpu_held.gpu, 0, &command);
	close(dmabuf);
	return ret;
}

/* The display maps its buffer for itself only when it shows it. */
static int take_display_import(void)
{
	int ret = gpu_held_open();

	if (!ret)
		ret = display_create_dumb(&display, &fb);
	return ret ? ret : draw_into(display_export(&display, &fb));
}

static int check_display_import(enum life_action action)
{
	uint32_t *map = display_map_dumb(&display, &fb);
	int ret = !map ? -ENOMEM : map[0] == GPU_HELD_PATTERN && map[1023] == GPU_HELD_PATTERN ? 0 : -EBADMSG;

	if (map)
		munmap(map, fb.size);
	return ret ? ret : check_file(action);
}

static int take_camera_import(void)
{
	int ret = gpu_held_open();
	long mapped = iommu_trace_mapped();

	if (!ret)
		ret = camera_open(&camera, FENCEPOST_CAMERA_DRIVER_NAME);
	if (!ret)
		ret = camera_request_buffers(&camera, 1);
	iommu_trace_forget(mapped);
	return ret ? ret : draw_into(camera_export(&camera, 0));
}

static int take_done_fence(void)
{
	struct drm_fencepost_gpu_command command;
	int ret = gpu_held_open();

	command = gpu_fill(&gpu_held.buffers[A], GPU_HELD_BYTES, GPU_HELD_PATTERN);
	if (!ret)
		ret = gpu_held.fence = gpu_submit(gpu_held.gpu, 1, &command, 1, -1);
	if (ret >= 0)
		ret = gpu_buffer_wait(gpu_held.gpu, &gpu_held.buffers[A], GPU_HELD_TIMEOUT_MS);
	gpu_held_unmap();
	gpu_held_close();
	return ret;
}

static int check_done_fence(enum life_action action)
{
	int status, ret = gpu_held_fence_status(gpu_held.fence, &status);

	(void)action;
	return ret ? ret : status == 1 ? 0 : -EBADMSG;
}

/* No descriptor of the GPU's at all: a fence in the reservation of another driver's buffer. */
static int take_reservation(void)
{
	int ret = take_display_import();

	gpu_held_unmap();
	gpu_held_close();
	return ret;
}

static int check_reservation(enum life_action action)
{
	struct dma_buf_export_sync_file export = { .flags = DMA_BUF_SYNC_RW };
	int dmabuf = display_export(&display, &fb);
	int ret = dmabuf < 0 ? dmabuf : gpu_ioctl(dmabuf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &export);

	(void)action;
	close_fd(&dmabuf);
	/* Of what has signalled, the kernel makes a fence of its own; ours goes with the buffer. */
	return ret ? ret : gpu_fence_wait(export.fd, GPU_HELD_TIMEOUT_MS);
}

static int take_syncobj(void)
{
	struct drm_syncobj_create create = { 0 };
	struct drm_syncobj_handle handle = { 0 };
	struct drm_fencepost_gpu_sync sync = { 0 };
	struct drm_fencepost_gpu_command command;
	struct drm_fencepost_gpu_submit submit = {
		.commands = (uintptr_t)&command,
		.command_count = 1,
		.out_syncs = (uintptr_t)&sync,
		.out_sync_count = 1,
	};
	int ret = gpu_held_open();

	if (!ret)
		ret = gpu_ioctl(gpu_held.gpu, DRM_IOCTL_SYNCOBJ_CREATE, &create);
	sync.handle = create.handle;
	handle.handle = create.handle;
	command = gpu_fill(&gpu_held.buffers[A], GPU_HELD_BYTES, OTHER_PATTERN);
	if (!ret)
		ret = gpu_ioctl(gpu_held.gpu, DRM_IOCTL_FENCEPOST_GPU_SUBMIT, &submit);
	if (!ret)
		ret = gpu_buffer_wait(gpu_held.gpu, &gpu_held.buffers[A], GPU_HELD_TIMEOUT_MS);
	if (!ret)
		ret = gpu_ioctl(gpu_held.gpu, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &handle);
	shared = ret ? -1 : handle.fd;
	gpu_held_unmap();
	gpu_held_close();
	return ret;
}

/* Nothing can be asked of a syncobj without a render node. That it can be let go of is the test. */
static int check_syncobj(enum life_action action)
{
	(void)action;
	return fcntl(shared, F_GETFD) < 0 ? -errno : 0;
}

static void let_go(void)
{
	long mapped;

	gpu_held_let_go();
	close_fd(&shared);
	if (fb.handle)
		display_destroy_fb(&display, &fb);
	fb = (struct display_fb) { 0 };
	mapped = iommu_trace_mapped();
	if (camera.fd >= 0)
		camera_close(&camera);
	iommu_trace_forget(mapped);
}

static int take_nothing(void)
{
	int ret = take_done_fence();

	let_go();
	return ret;
}

/* Both engines draw, from a new file. */
static int works(void)
{
	int ret = gpu_held_open();

	if (!ret && !(gpu_held_is_filled(gpu_held.buffers[A].map, GPU_HELD_PATTERN) &&
		      gpu_held_is_filled(gpu_held.buffers[B].map, GPU_HELD_PATTERN)))
		ret = -EBADMSG;
	let_go();
	return ret;
}

static const struct life_holding holdings[] = {
	{ "nothing", false, take_nothing, NULL },
	{ "an open file", true, gpu_held_open, check_file },
	{ "a mapping", true, take_mapping, check_mapping },
	{ "an exported dma-buf", true, take_export, check_export },
	{ "a dma-buf of the display's", true, take_display_import, check_display_import },
	{ "a dma-buf of the camera's", true, take_camera_import, check_file },
	{ "a fence in the display's buffer", true, take_reservation, check_reservation },
	{ "a signalled fence", true, take_done_fence, check_done_fence },
	{ "a syncobj", true, take_syncobj, check_syncobj },
	{ "a running job", true, gpu_held_take_running, gpu_held_check_running },
	{ "a running job of a closed file", true, gpu_held_take_running_alone, gpu_held_check_running },
	{ "eighty jobs in a chain", true, gpu_held_take_busy, gpu_held_check_busy },
	{ "the fence of a killed job", true, gpu_held_take_killed, gpu_held_check_killed },
	{ "a sleeping waiter", true, gpu_held_take_waiter, gpu_held_check_waiter },
	{ "a busy client", true, gpu_held_take_client, gpu_held_check_client },
};

/* The display makes buffers for the GPU to import. */
static int open_display(void)
{
	display.fd = display_open_node("card", FENCEPOST_DISPLAY_DRIVER_NAME);
	return display.fd < 0 ? display.fd : 0;
}

static const struct life_subject subject = {
	.device = &gpu_device,
	.begin = open_display,
	.holdings = holdings,
	.holding_count = sizeof(holdings) / sizeof(holdings[0]),
	.let_go = let_go,
	.works = works,
};

int main(void)
{
	return life_test(&subject);
}
