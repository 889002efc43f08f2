// SPDX-License-Identifier: GPL-2.0
/*
 * What a client of the GPU takes, in KTAP: fdinfo's times and memory, limits of buffers and jobs, and large commands, which are cut into
 * slices.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "display.h"
#include "gpu_client.h"
#include "ktap.h"

#define MIB (1024 * 1024)
#define TIMEOUT_MS 20000

static int gpu, other;
static struct drm_fencepost_gpu_info info;

/* The value behind "key:" in a file's fdinfo, as text; empty if it is not there. */
static const char *usage_text(int fd, const char *key)
{
	static char value[128];
	char path[64], line[256];
	size_t length = strlen(key);
	FILE *file;

	value[0] = 0;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, key, length) && line[length] == ':')
			snprintf(value, sizeof(value), "%.100s", line + length + 1 + strspn(line + length + 1, "\t "));
	}
	if (file)
		fclose(file);
	value[strcspn(value, "\n")] = 0;
	return value;
}

static unsigned long long usage(int fd, const char *key)
{
	return strtoull(usage_text(fd, key), NULL, 10);
}

static uint32_t create(int fd, uint64_t bytes, int *ret)
{
	struct drm_fencepost_gpu_bo_create create = { .size = bytes };

	*ret = gpu_ioctl(fd, DRM_IOCTL_FENCEPOST_GPU_BO_CREATE, &create);
	return create.handle;
}

static void close_handle(int fd, uint32_t handle)
{
	struct drm_gem_close close = { .handle = handle };

	gpu_ioctl(fd, DRM_IOCTL_GEM_CLOSE, &close);
}

static void test_names(void)
{
	unsigned long long first = usage(gpu, "drm-client-id"), second = usage(other, "drm-client-id");
	int driver = !strcmp(usage_text(gpu, "drm-driver"), FENCEPOST_GPU_DRIVER_NAME);
	int pdev = !strcmp(usage_text(gpu, "drm-pdev"), "0000:00:01.0");

	ktap_result(driver && pdev && first && second && first != second,
		    "fdinfo names the driver, the device and the client (%llu, %llu)", first, second);
}

/* A job of a size that is known, by each of two clients. */
static void test_cycles(void)
{
	static const char *const keys[] = { "drm-cycles-ring0", "drm-cycles-ring1", "drm-cycles-ring2" };
	unsigned long long before[2][3], after[2][3], ns = usage(gpu, "drm-engine-ring1"), least, most;
	struct gpu_buffer buffer = { 0 };
	struct drm_fencepost_gpu_command fill;
	int ret, wrong = 0;

	buffer.handle = create(gpu, MIB, &ret);
	fill = gpu_fill(&buffer, MIB, 7);
	/* The fence of the client's last job is counted with the next. */
	ret = ret ?: gpu_run(gpu, 1, &fill);
	for (int ring = 0; ring < 3; ring++) {
		before[0][ring] = usage(gpu, keys[ring]);
		before[1][ring] = usage(other, keys[ring]);
	}
	ret = ret ?: gpu_run(gpu, 1, &fill);
	for (int ring = 0; ring < 3; ring++) {
		after[0][ring] = usage(gpu, keys[ring]);
		after[1][ring] = usage(other, keys[ring]);
		wrong += after[1][ring] != before[1][ring];
		wrong += ring != 1 && after[0][ring] != before[0][ring];
	}
	least = 2 * info.fixed_cycles + MIB / info.bytes_per_cycle;
	/* What a seed varies. */
	most = least + least / 4;
	ktap_result(!ret && !wrong && after[0][1] - before[0][1] >= least && after[0][1] - before[0][1] <= most &&
		    usage(gpu, "drm-engine-ring1") > ns,
		    "a job counts %llu cycles of %llu at its client and ring alone (%d, %d wrong)", after[0][1] - before[0][1],
		    least, ret, wrong);
	close_handle(gpu, buffer.handle);
}

static void test_memory(void)
{
	unsigned long long total = usage(gpu, "drm-total-memory"), resident = usage(gpu, "drm-resident-memory");
	unsigned long long shared = usage(gpu, "drm-shared-memory"), grown[3];
	struct gpu_buffer buffer = { 0 };
	struct drm_fencepost_gpu_command fill;
	uint32_t imported = 0;
	int ret, dmabuf;

	buffer.handle = create(gpu, MIB, &ret);
	grown[0] = usage(gpu, "drm-total-memory") - total;
	grown[1] = usage(gpu, "drm-resident-memory") - resident;
	fill = gpu_fill(&buffer, 4096, 1);
	ret = ret ?: gpu_run(gpu, 0, &fill);
	grown[2] = usage(gpu, "drm-resident-memory") - resident;
	ktap_result(!ret && grown[0] == 1024 && !grown[1] && grown[2] == 1024,
		    "a buffer counts at once, and is resident when it is used (%d; %llu, %llu, %llu KiB)", ret, grown[0], grown[1],
		    grown[2]);
	dmabuf = gpu_export(gpu, buffer.handle);
	ret = gpu_import(other, dmabuf, &imported);
	grown[0] = usage(gpu, "drm-shared-memory") - shared;
	close_handle(other, imported);
	grown[1] = usage(gpu, "drm-shared-memory") - shared;
	close(dmabuf);
	close_handle(gpu, buffer.handle);
	grown[2] = usage(gpu, "drm-total-memory") - total;
	ktap_result(!ret && grown[0] == 1024 && !grown[1] && !grown[2],
		    "it is shared while another client has it, and gone when it is closed (%d; %llu, %llu, %llu KiB)", ret, grown[0],
		    grown[1], grown[2]);
}

static void test_memory_limit(void)
{
	int fd = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME), ret = 0, beyond, again, elsewhere;
	uint32_t last = 0;

	/* Nobody uses them, so they have no pages. */
	for (int i = 0; !ret && i < 8; i++)
		last = create(fd, 128 * MIB, &ret);
	create(fd, 4096, &beyond);
	close_handle(other, create(other, 4096, &elsewhere));
	close_handle(fd, last);
	create(fd, 4096, &again);
	ktap_result(!ret && beyond == -EDQUOT && !elsewhere && !again,
		    "a client has 1 GiB at most: %d, then %d, and %d for another (%d)", ret, beyond, elsewhere, again);
	close(fd);
}

static void test_job_limit(void)
{
	enum { MOST = 1024 };
	struct drm_fencepost_gpu_command nop = { 0 }, wait;
	struct gpu_buffer semaphore;
	int ret = gpu_buffer_create(gpu, 4096, &semaphore), fence = -1, elsewhere, blocker;

	wait = gpu_sem_wait(&semaphore, 1);
	blocker = gpu_submit(gpu, 0, &wait, 1, -1);
	for (int i = 1; !ret && i < MOST; i++) {
		if (fence >= 0)
			close(fence);
		fence = gpu_submit(gpu, 0, &nop, 1, -1);
		ret = fence < 0 ? fence : 0;
	}
	ktap_result(!ret && gpu_submit(gpu, 1, &nop, 1, -1) == -EBUSY, "a client has %d jobs at most (%d)", MOST, ret);
	elsewhere = gpu_run(other, 1, &nop);
	__atomic_store_n((uint64_t *)semaphore.map, 1, __ATOMIC_RELEASE);
	ret = gpu_fence_wait(blocker, TIMEOUT_MS);
	ret = gpu_fence_wait(fence, TIMEOUT_MS) ?: ret;
	/* The scheduler frees jobs that are done in a worker of its own. */
	for (int i = 0; i < 1000 && (fence = gpu_submit(gpu, 1, &nop, 1, -1)) == -EBUSY; i++)
		usleep(1000);
	ktap_result(!ret && !elsewhere && !gpu_fence_wait(fence, TIMEOUT_MS),
		    "others may submit meanwhile, and it may when they are done (%d, %d)", ret, elsewhere);
	gpu_buffer_destroy(gpu, &semaphore);
}

/* Rows with a gap, and one long row: more than one slice each. */
static void test_slices(void)
{
	enum { ROW = 4001, STRIDE = 4099, ROWS = 2501 };
	struct gpu_buffer from, to;
	struct drm_fencepost_gpu_command rows = { .opcode = FENCEPOST_GPU_CMD_COPY, .width = ROW, .height = ROWS }, row;
	int ret = gpu_buffer_create(gpu, 16 * MIB, &from), wrong = 0;

	ret = ret ?: gpu_buffer_create(gpu, 16 * MIB, &to);
	for (uint32_t i = 0; !ret && i < 4 * MIB; i++)
		((uint32_t *)from.map)[i] = i * 2654435761u;
	rows.dst = (struct drm_fencepost_gpu_operand) { to.handle, STRIDE + 2, 5 };
	rows.src = (struct drm_fencepost_gpu_operand) { from.handle, STRIDE, 3 };
	ret = ret ?: gpu_run(gpu, 2, &rows);
	for (uint32_t y = 0; !ret && y < ROWS; y++) {
		uint8_t *line = to.map + 5 + y * (STRIDE + 2);

		wrong += !!memcmp(line, from.map + 3 + y * STRIDE, ROW);
		for (uint32_t x = ROW; x < STRIDE + 2; x++)
			wrong += line[x] != 0;
	}
	ktap_result(!ret && !wrong, "rows of more than one slice are copied, and what is between them stays (%d, %d wrong)", ret, wrong);
	row = gpu_copy(&to, &from, 16 * MIB - 7);
	row.dst.offset = 7;
	ret = ret ?: gpu_run(gpu, 2, &row);
	ktap_result(!ret && !memcmp(to.map + 7, from.map, 16 * MIB - 7), "so is a row of more than one slice (%d)", ret);
	row = gpu_fill(&to, 16 * MIB - 4, 0xfeedbeef);
	ret = ret ?: gpu_run(gpu, 2, &row);
	ktap_result(!ret && gpu_is_filled(to.map, 16 * MIB - 4, 0xfeedbeef) &&
		    !memcmp(to.map + 16 * MIB - 4, from.map + 16 * MIB - 11, 4), "and a fill (%d)", ret);
	gpu_buffer_destroy(gpu, &from);
	gpu_buffer_destroy(gpu, &to);
}

int main(void)
{
	int ret;

	ktap_plan(11);
	gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	other = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	ret = gpu < 0 || other < 0 ? -ENODEV : gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_INFO, &info);
	if (!ktap_result(!ret, "the GPU opens twice (%d)", ret))
		return ktap_finish();
	test_names();
	test_cycles();
	test_memory();
	test_memory_limit();
	test_job_limit();
	test_slices();
	return ktap_finish();
}
