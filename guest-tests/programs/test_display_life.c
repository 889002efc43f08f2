// SPDX-License-Identifier: GPL-2.0
/*
 * What user space may hold of the display when its device or its driver goes away, is reset or sleeps, in KTAP: each of
 * the holdings below with each action of life.h. A loss ends what is held with ENODEV, and nobody waits for ever; after a
 * reset or sleep the picture is the one before, and everything goes on. To be run with few frames a second, so that an
 * action comes while a flip waits for its vertical blank.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/sync_file.h>

#include <fencepost_pci.h>

#include "camera.h"
#include "display.h"
#include "display_commit.h"
#include "display_fb.h"
#include "display_held.h"
#include "display_picture.h"
#include "display_writeback.h"
#include "gpu_client.h"
#include "iommu_trace.h"
#include "ktap.h"
#include "life.h"

#define TIMEOUT_MS 20000
/* More commands than a frame's time has room for, with the latency that the GPU is given: see ci/guest-tests.sh. */
#define GPU_FILLS 8
/* Vertical blanks that nobody lives to see. */
#define FAR_AWAY 1000000

static const struct life_device display_device = {
	.slot = FENCEPOST_PCI_NAME_DISPLAY,
	.name = FENCEPOST_DISPLAY_DRIVER_NAME,
};

static int take_nothing(void)
{
	return 0;
}

/* The file is closed, but its memory is not. */
static int take_mapping(void)
{
	int ret = held_take_mode();

	if (ret)
		return ret;
	held.map = display_map_dumb(&held.display, &held.fbs[FIRST]);
	if (!held.map)
		return -ENOMEM;
	held.last_pixel = held.map[held.fbs[FIRST].size / 4 - 1];
	held_close(&held.display.fd);
	return 0;
}

static int check_memory(uint32_t *map)
{
	uint32_t *last = map + held.fbs[FIRST].size / 4 - 1;

	if (*last != held.last_pixel)
		return -EBADMSG;
	*last = ~held.last_pixel;
	return *(volatile uint32_t *)last == ~held.last_pixel ? 0 : -EBADMSG;
}

static int check_mapping(enum life_action action)
{
	(void)action;
	return check_memory(held.map);
}

/* In use by the GPU. */
static int take_export(void)
{
	int ret = take_mapping();
	long mapped;

	if (ret)
		return ret;
	munmap(held.map, held.fbs[FIRST].size);
	held.map = NULL;
	ret = held_take_mode();
	held.dmabuf = ret ? ret : display_export(&held.display, &held.fbs[FIRST]);
	held_close(&held.display.fd);
	if (held.dmabuf < 0)
		return held.dmabuf;
	mapped = iommu_trace_mapped();
	held.gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	ret = held.gpu < 0 ? held.gpu : gpu_import(held.gpu, held.dmabuf, &held.gpu_buffer.handle);
	iommu_trace_forget(mapped);
	return ret;
}

/* The pages are there for the CPU, for the GPU that had them, and for a device that takes them now. */
static int check_export(enum life_action action)
{
	struct drm_fencepost_gpu_command command = gpu_fill(&held.gpu_buffer, 4096, 0x5eed1e55);
	int other = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	long mapped = iommu_trace_mapped();
	uint32_t handle;
	int ret;

	(void)action;
	held.map = mmap(NULL, held.fbs[FIRST].size, PROT_READ | PROT_WRITE, MAP_SHARED, held.dmabuf, 0);
	if (held.map == MAP_FAILED) {
		held.map = NULL;
		return -errno;
	}
	ret = check_memory(held.map);
	if (!ret)
		ret = gpu_run(held.gpu, 0, &command);
	if (!ret && (held.map[0] != command.value || held.map[1023] != command.value))
		ret = -EBADMSG;
	if (!ret)
		ret = other < 0 ? other : gpu_import(other, held.dmabuf, &handle);
	held_close(&other);
	iommu_trace_forget(mapped);
	return ret;
}

/* A buffer of the GPU's on the screen, in the place of the first picture. */
static int take_gpu_buffer(void)
{
	struct display_fb *fb = &held.fbs[FIRST];
	int ret = held_take_mode(), dmabuf;

	held.gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	if (!ret)
		ret = held.gpu < 0 ? held.gpu : gpu_buffer_create(held.gpu, fb->size, &held.gpu_buffer);
	if (ret)
		return ret;
	dmabuf = gpu_export(held.gpu, held.gpu_buffer.handle);
	ret = dmabuf < 0 ? dmabuf :
	      display_import(&held.display, dmabuf, fb->width, fb->height, fb->pitch, 0, fb);
	held_close(&dmabuf);
	if (ret)
		return ret;
	held.crcs[FIRST] = display_paint(held.gpu_buffer.map, fb, 9);
	return display_modeset(&held.display, fb->fb);
}

/* One of the camera's, whose driver keeps a mapping for as long as the display is attached. */
static int take_camera_buffer(void)
{
	struct display_fb *fb = &held.fbs[FIRST];
	int ret = held_take_mode(), dmabuf;
	long mapped = iommu_trace_mapped();

	if (!ret)
		ret = camera_open(&held.camera, FENCEPOST_CAMERA_DRIVER_NAME);
	if (!ret)
		ret = camera_request_buffers(&held.camera, 1);
	iommu_trace_forget(mapped);
	if (ret < 0)
		return ret;
	dmabuf = camera_export(&held.camera, 0);
	ret = dmabuf < 0 ? dmabuf :
	      display_import(&held.display, dmabuf, fb->width, fb->height, fb->pitch, 0, fb);
	held_close(&dmabuf);
	if (!ret)
		ret = display_modeset(&held.display, fb->fb);
	held.crcs[FIRST] = display_crc_on_screen(&held.display);
	return ret;
}

static bool is_pending(int fd)
{
	struct pollfd waiter = { .fd = fd, .events = POLLIN };

	return poll(&waiter, 1, 0) == 0;
}

/* A flip to the second picture that has not happened. */
static int take_flip(void)
{
	int ret = held_take_mode();

	/* Begin a frame. */
	if (!ret)
		ret = display_wait_vblank(&held.display, NULL);
	if (!ret)
		ret = display_flip(&held.display, held.fbs[SECOND].fb, -1, &held.fence, 5);
	return ret ? ret : is_pending(held.display.fd) ? 0 : -EALREADY;
}

/* It is over, and said so. */
static int check_flip(enum life_action action)
{
	struct display_flip flip = { 0 };
	int ret = display_wait_flip(&held.display, TIMEOUT_MS, &flip);

	if (ret || flip.user_data != 5)
		return ret ? ret : -EBADMSG;
	return life_is_loss(action) ? held_check_file(action) : held_check_screen(held.crcs[SECOND]);
}

/*
 * Asks the sync_file, and no other is left, for what it says of its fence: 1 when it signalled, less than 0 when with an error. The
 * names are in memory of the driver's.
 */
static int fence_status(void)
{
	struct pollfd waiter = { .fd = held.fence, .events = POLLIN };
	struct sync_fence_info fence = { 0 };
	struct sync_file_info info = { .num_fences = 1, .sync_fence_info = (uintptr_t)&fence };

	held_close(&held.display.fd);
	if (poll(&waiter, 1, TIMEOUT_MS) != 1 || display_ioctl(held.fence, SYNC_IOC_FILE_INFO, &info))
		return 0;
	return !strcmp(fence.driver_name, FENCEPOST_DISPLAY_DRIVER_NAME) && *fence.obj_name ? info.status : 0;
}

static int check_fence(enum life_action action)
{
	(void)action;
	return fence_status() == 1 ? 0 : -EBADMSG;
}

/* A write-back to the second picture, whose vertical blank is to come. */
static int take_writeback(void)
{
	int ret = held_take_mode();
	uint32_t connector = ret ? 0 : display_writeback_connector(&held.display);
	struct display_change c = { 0 };

	if (!connector)
		return ret ? ret : -ENXIO;
	display_add_writeback(&held.display, &c, connector, held.fbs[SECOND].fb, &held.fence);
	ret = display_commit(&held.display, &c, DRM_MODE_ATOMIC_NONBLOCK | DRM_MODE_ATOMIC_ALLOW_MODESET, 0);
	return ret ? ret : is_pending(held.fence) ? 0 : -EALREADY;
}

/* What a loss keeps from being written is an error. */
static int check_writeback(enum life_action action)
{
	int status = fence_status();

	return status == 1 || (status == -ENODEV && life_is_loss(action)) ? 0 : -EBADMSG;
}

static int take_fence(void)
{
	int ret = take_flip();

	return ret ? ret : is_pending(held.fence) ? 0 : -EALREADY;
}

/* Nothing but the sync_file. */
static int take_done_fence(void)
{
	struct display_flip flip;
	int ret = take_fence();

	if (!ret)
		ret = display_wait_flip(&held.display, TIMEOUT_MS, &flip);
	held_close(&held.display.fd);
	return ret;
}

/* A flip that waits for the GPU before it waits for the vertical blank. */
static int take_flip_behind_fence(void)
{
	struct drm_fencepost_gpu_command commands[GPU_FILLS];
	int ret = held_take_mode();
	long mapped = iommu_trace_mapped();

	held.gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	if (!ret)
		ret = held.gpu < 0 ? held.gpu : gpu_buffer_create(held.gpu, 4096, &held.gpu_buffer);
	if (ret)
		return ret;
	for (int i = 0; i < GPU_FILLS; i++)
		commands[i] = gpu_fill(&held.gpu_buffer, 4096, i);
	held.fence = gpu_submit(held.gpu, 0, commands, GPU_FILLS, -1);
	iommu_trace_forget(mapped);
	ret = held.fence < 0 ? held.fence : display_flip(&held.display, held.fbs[SECOND].fb, held.fence, NULL, 5);
	return ret ? ret : is_pending(held.fence) ? 0 : -EALREADY;
}

/* A child that waits in the kernel for a vertical blank, three from now. */
static int take_waiter(void)
{
	union drm_wait_vblank wait = { .request = { .type = _DRM_VBLANK_RELATIVE, .sequence = 3 } };
	int ret = held_take_mode();

	if (ret)
		return ret;
	held.child = fork();
	if (held.child < 0)
		return -errno;
	if (!held.child)
		_exit(display_ioctl(held.display.fd, DRM_IOCTL_WAIT_VBLANK, &wait) ? 1 : 0);
	return life_wait_asleep(held.child);
}

static int check_waiter(enum life_action action)
{
	int status = -1;
	pid_t child = held.child;

	held.child = 0;
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -ECHILD;
	if (!life_is_loss(action) && WEXITSTATUS(status))
		return -EIO;
	return held_check_mode(action);
}

/* An event that would come with a vertical blank long from now: the kernel sends it when the CRTC goes off. */
static int take_event(void)
{
	struct drm_crtc_queue_sequence queue = {
		.flags = DRM_CRTC_SEQUENCE_RELATIVE,
		.sequence = FAR_AWAY,
		.user_data = 7,
	};
	int ret = held_take_mode();

	queue.crtc_id = held.display.crtc;
	return ret ? ret : display_ioctl(held.display.fd, DRM_IOCTL_CRTC_QUEUE_SEQUENCE, &queue);
}

static int check_event(enum life_action action)
{
	struct pollfd waiter = { .fd = held.display.fd, .events = POLLIN };
	struct drm_event_crtc_sequence event = { 0 };

	if (action == LIFE_REFUSED)
		return is_pending(held.display.fd) ? 0 : -EALREADY;
	if (poll(&waiter, 1, TIMEOUT_MS) != 1 || read(held.display.fd, &event, sizeof(event)) != sizeof(event))
		return -ETIMEDOUT;
	if (event.base.type != DRM_EVENT_CRTC_SEQUENCE || event.user_data != 7)
		return -EBADMSG;
	return held_check_mode(action);
}

/* All there is, leased to another file, which has pictures of its own. */
static int take_lease(void)
{
	struct drm_set_client_cap planes = { DRM_CLIENT_CAP_UNIVERSAL_PLANES, 1 };
	struct drm_set_client_cap atomic = { DRM_CLIENT_CAP_ATOMIC, 1 };
	struct drm_mode_create_lease lease = { .object_count = 3 };
	uint32_t objects[3];
	int ret = held_take_mode();

	if (ret)
		return ret;
	objects[0] = held.display.crtc;
	objects[1] = held.display.connector;
	objects[2] = held.display.plane;
	lease.object_ids = (uintptr_t)objects;
	ret = display_ioctl(held.display.fd, DRM_IOCTL_MODE_CREATE_LEASE, &lease);
	if (ret)
		return ret;
	held.lessee = held.display;
	held.lessee.fd = lease.fd;
	ret = display_ioctl(lease.fd, DRM_IOCTL_SET_CLIENT_CAP, &planes);
	return ret ? ret : display_ioctl(lease.fd, DRM_IOCTL_SET_CLIENT_CAP, &atomic);
}

static int check_lease(enum life_action action)
{
	struct display_fb fb = { 0 };
	uint32_t crc;

	if (life_is_loss(action))
		return display_create_dumb(&held.lessee, &fb) == -ENODEV ? held_check_mode(action) : -EEXIST;
	if (!display_make_pictures(&held.lessee, &fb, &crc, 1))
		return -ENOMEM;
	return display_flip_shows(&held.lessee, fb.fb, crc) ? 0 : -EIO;
}

/* debugfs's file of CRCs, and nothing else. */
static int take_crc_file(void)
{
	int ret = held_take_mode();

	held.crc_file = ret ? ret : display_open_crcs(&held.display);
	held_close(&held.display.fd);
	return held.crc_file < 0 ? held.crc_file : 0;
}

static int check_crc_file(enum life_action action)
{
	char line[64];

	if (life_is_loss(action))
		return 0;
	return read(held.crc_file, line, sizeof(line)) > 0 ? 0 : -errno;
}

static int works(void)
{
	int ret = held_take_mode();

	if (!ret)
		ret = held_check_screen(held.crcs[FIRST]);
	held_let_go();
	return ret;
}

static const struct life_holding holdings[] = {
	{ "nothing", false, take_nothing, NULL },
	{ "an open file", true, held_take_file, held_check_file },
	{ "a mode", true, held_take_mode, held_check_mode },
	{ "a mapping", true, take_mapping, check_mapping },
	{ "an exported dma-buf", true, take_export, check_export },
	{ "the GPU's buffer on the screen", true, take_gpu_buffer, held_check_mode },
	{ "the camera's buffer on the screen", true, take_camera_buffer, held_check_mode },
	{ "a flip that waits", true, take_flip, check_flip },
	{ "a flip behind a fence of the GPU's", true, take_flip_behind_fence, check_flip },
	{ "an out-fence that waits", true, take_fence, check_fence },
	{ "an out-fence that has signalled, and no file", true, take_done_fence, check_fence },
	{ "a write-back that waits", true, take_writeback, check_writeback },
	{ "a wait for a vertical blank", true, take_waiter, check_waiter },
	{ "an event of a vertical blank", true, take_event, check_event },
	{ "a lease", true, take_lease, check_lease },
	{ "the file of CRCs, and no other", true, take_crc_file, check_crc_file },
};

static int begin(void)
{
	held_forget();
	return works();
}

static const struct life_subject subject = {
	.device = &display_device,
	.begin = begin,
	.holdings = holdings,
	.holding_count = sizeof(holdings) / sizeof(holdings[0]),
	.let_go = held_let_go,
	.works = works,
	.map = held_take_mode,
};

int main(void)
{
	return life_test(&subject);
}
