// SPDX-License-Identifier: GPL-2.0
/* What a test holds of the display: see display_held.h. */
#include "display_held.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "display_commit.h"
#include "display_picture.h"
#include "iommu_trace.h"

#define JOB_END_US 100000

struct held held;

void held_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void held_forget(void)
{
	memset(&held, 0, sizeof(held));
	held.display.fd = held.lessee.fd = held.dmabuf = held.fence = held.crc_file = held.gpu = held.camera.fd = -1;
}

/* What the GPU and the camera have mapped is not the display's: see life.h. */
static void let_go_of_others(void)
{
	long mapped = iommu_trace_mapped();

	if (held.gpu >= 0) {
		held_close(&held.gpu);
		/* Its scheduler lets go of a job's buffers a little after the job. */
		usleep(JOB_END_US);
	}
	if (held.camera.fd >= 0 && held.display.fd < 0)
		camera_close(&held.camera);
	iommu_trace_forget(mapped);
}

void held_let_go(void)
{
	if (held.child > 0) {
		kill(held.child, SIGKILL);
		waitpid(held.child, NULL, 0);
	}
	if (held.gpu_buffer.map)
		munmap(held.gpu_buffer.map, held.gpu_buffer.size);
	/* Before the display, whose buffer the GPU may have; the camera after it, whose buffer the display may have. */
	let_go_of_others();
	held_close(&held.fence);
	held_close(&held.crc_file);
	held_close(&held.lessee.fd);
	held_close(&held.display.fd);
	held_close(&held.dmabuf);
	if (held.map)
		munmap(held.map, held.fbs[FIRST].size);
	let_go_of_others();
	held_forget();
}

int held_take_file(void)
{
	return display_open(&held.display, FENCEPOST_DISPLAY_DRIVER_NAME);
}

int held_check_file(enum life_action action)
{
	struct drm_mode_card_res res = { 0 };
	struct display_fb fb = { 0 };
	int wanted = life_is_loss(action) ? -ENODEV : 0;
	int resources = display_ioctl(held.display.fd, DRM_IOCTL_MODE_GETRESOURCES, &res);
	int dumb = display_create_dumb(&held.display, &fb);

	if (resources != wanted || dumb != wanted)
		return resources ? resources : dumb ? dumb : -EEXIST;
	return 0;
}

int held_take_mode(void)
{
	int ret = held_take_file();

	if (ret)
		return ret;
	if (!display_make_pictures(&held.display, held.fbs, held.crcs, BUFFERS))
		return -ENOMEM;
	return display_modeset(&held.display, held.fbs[FIRST].fb);
}

int held_check_screen(uint32_t crc)
{
	if (display_crc_on_screen(&held.display) != crc)
		return -EBADMSG;
	return display_flip_shows(&held.display, held.fbs[FIRST].fb, held.crcs[FIRST]) &&
	       display_flip_shows(&held.display, held.fbs[SECOND].fb, held.crcs[SECOND]) ? 0 : -EIO;
}

int held_check_mode(enum life_action action)
{
	if (!life_is_loss(action))
		return held_check_screen(held.crcs[FIRST]);
	if (display_flip(&held.display, held.fbs[SECOND].fb, -1, NULL, 0) != -ENODEV ||
	    display_off(&held.display) != -ENODEV)
		return -EEXIST;
	return held_check_file(action);
}
