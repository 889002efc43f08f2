// SPDX-License-Identifier: GPL-2.0
/* What is held of the GPU: see gpu_held.h. */
#include "gpu_held.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/sync_file.h>

#include "display.h"

/* Jobs, of so many commands, that no ring has room for. */
#define FILLERS 17
#define FILLER_COMMANDS 63

struct gpu_held gpu_held = { .gpu = -1, .fence = -1 };

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void gpu_held_close(void)
{
	close_fd(&gpu_held.gpu);
}

void gpu_held_unmap(void)
{
	for (int i = 0; i < BUFFERS; i++)
		if (gpu_held.buffers[i].map)
			munmap(gpu_held.buffers[i].map, GPU_HELD_BYTES);
	memset(gpu_held.buffers, 0, sizeof(gpu_held.buffers));
}

bool gpu_held_is_filled(const uint8_t *bytes, uint32_t pattern)
{
	return gpu_is_filled(bytes, GPU_HELD_BYTES, pattern);
}

int gpu_held_open(void)
{
	int ret = gpu_held.gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);

	for (int i = 0; ret >= 0 && i < BUFFERS; i++) {
		struct drm_fencepost_gpu_command command;

		ret = gpu_buffer_create(gpu_held.gpu, GPU_HELD_BYTES, &gpu_held.buffers[i]);
		command = gpu_fill(&gpu_held.buffers[i], GPU_HELD_BYTES, i == SEMAPHORE ? 0 : GPU_HELD_PATTERN);
		if (!ret)
			ret = gpu_run(gpu_held.gpu, i % 2, &command);
	}
	return ret < 0 ? ret : 0;
}

void gpu_held_let_go(void)
{
	gpu_held_unmap();
	gpu_held_close();
	close_fd(&gpu_held.fence);
	if (gpu_held.child > 0) {
		kill(gpu_held.child, SIGKILL);
		waitpid(gpu_held.child, NULL, 0);
	}
	gpu_held.child = 0;
}

int gpu_held_fence_status(int fence, int *status)
{
	struct sync_fence_info fence_info = { 0 };
	struct sync_file_info info = { .num_fences = 1, .sync_fence_info = (uintptr_t)&fence_info };
	int ret = gpu_ioctl(fence, SYNC_IOC_FILE_INFO, &info);

	*status = info.status;
	if (ret)
		return ret;
	return strcmp(fence_info.driver_name, "drm_sched") || strncmp(fence_info.obj_name, "fpgpu-ring", 10) ?
		-EBADMSG : 0;
}

/*
 * A job on ring 0 that has copied A to B and cleared A and now waits, and after that copies B to C. If it were run again
 * from its start, C would be clear.
 */
int gpu_held_take_running(void)
{
	struct drm_fencepost_gpu_command commands[4];
	int ret = gpu_held_open();

	if (ret)
		return ret;
	memset(gpu_held.buffers[B].map, 0, GPU_HELD_BYTES);
	memset(gpu_held.buffers[C].map, 0, GPU_HELD_BYTES);
	commands[0] = gpu_copy(&gpu_held.buffers[B], &gpu_held.buffers[A], GPU_HELD_BYTES);
	commands[1] = gpu_fill(&gpu_held.buffers[A], GPU_HELD_BYTES, 0);
	commands[2] = gpu_sem_wait(&gpu_held.buffers[SEMAPHORE], 1);
	commands[3] = gpu_copy(&gpu_held.buffers[C], &gpu_held.buffers[B], GPU_HELD_BYTES);
	gpu_held.fence = gpu_submit(gpu_held.gpu, 0, commands, 4, -1);
	/* Long enough for the first two, and not for the wait to be given up. */
	usleep(20000);
	return gpu_held.fence < 0 ? gpu_held.fence : gpu_held_is_filled(gpu_held.buffers[A].map, 0) ? 0 : -ETIMEDOUT;
}

int gpu_held_check_running(enum life_action action)
{
	int status, ret;

	/* It has ended with the device; or else it is neither done nor given up. */
	if (gpu_fence_is_done(gpu_held.fence) != life_is_loss(action))
		return -EALREADY;
	ret = gpu_held_fence_status(gpu_held.fence, &status);
	if (ret || life_is_loss(action))
		return ret ? ret : status == -ENODEV && gpu_held_is_filled(gpu_held.buffers[C].map, 0) ? 0 : -EBADMSG;
	__atomic_store_n((uint64_t *)gpu_held.buffers[SEMAPHORE].map, 1, __ATOMIC_RELEASE);
	ret = gpu_fence_wait(gpu_held.fence, GPU_HELD_TIMEOUT_MS);
	gpu_held.fence = -1;
	return ret ? ret : gpu_held_is_filled(gpu_held.buffers[C].map, GPU_HELD_PATTERN) ? 0 : -EBADMSG;
}

int gpu_held_take_running_alone(void)
{
	int ret = gpu_held_take_running();

	gpu_held_close();
	return ret;
}

/* Jobs on both rings, each of which waits for the one before. */
int gpu_held_take_busy(void)
{
	int ret = gpu_held_open();

	for (int i = 0; !ret && i < 2 * GPU_HELD_JOBS; i++) {
		struct drm_fencepost_gpu_command commands[2] = {
			gpu_fill(&gpu_held.buffers[A], GPU_HELD_BYTES, i), gpu_copy(&gpu_held.buffers[B], &gpu_held.buffers[A], GPU_HELD_BYTES)
		};

		gpu_held.fences[i] = gpu_submit(gpu_held.gpu, i % 2, commands, 2, -1);
		ret = gpu_held.fences[i] < 0 ? gpu_held.fences[i] : 0;
	}
	return ret;
}

int gpu_held_check_busy(enum life_action action)
{
	int lost = 0;

	for (int i = 0; i < 2 * GPU_HELD_JOBS; i++) {
		int ret = gpu_fence_wait(gpu_held.fences[i], GPU_HELD_TIMEOUT_MS);

		if (ret == -ENODEV && life_is_loss(action))
			lost++;
		else if (ret || lost)
			return ret ? ret : -EBADMSG;
	}
	return life_is_loss(action) || gpu_held_is_filled(gpu_held.buffers[B].map, 2 * GPU_HELD_JOBS - 1) ? 0 : -EBADMSG;
}

/*
 * More than ring 1 has room for, all behind @before. A job behind @before alone is not left with the scheduler: its ring waits itself.
 */
static int fill_ring(int before)
{
	struct drm_fencepost_gpu_command nops[FILLER_COMMANDS] = { 0 };

	for (int job = 0; job < FILLERS; job++) {
		int fence = gpu_submit(gpu_held.gpu, 1, nops, FILLER_COMMANDS, before);

		if (fence < 0)
			return fence;
		close(fence);
	}
	return 0;
}

/* Queues a job behind others from a file of its own, hands out its fence, and waits to be killed. */
static void be_killed(int socket)
{
	struct drm_fencepost_gpu_command command;
	int fence;

	gpu_held.gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	if (gpu_buffer_create(gpu_held.gpu, GPU_HELD_BYTES, &gpu_held.buffers[A]))
		_exit(1);
	command = gpu_fill(&gpu_held.buffers[A], GPU_HELD_BYTES, 0);
	fence = gpu_submit(gpu_held.gpu, 1, &command, 1, -1);
	if (fence >= 0 && !life_send_fd(socket, fence))
		pause();
	_exit(1);
}

/*
 * The fence of a job that never runs: the scheduler gives a killed file's jobs a second, and this one's is behind two
 * that take a second each, and too many that wait for those.
 */
int gpu_held_take_killed(void)
{
	struct drm_fencepost_gpu_command command;
	int sockets[2], second, ret = gpu_held_take_running();

	command = gpu_sem_wait(&gpu_held.buffers[SEMAPHORE], 2);
	second = ret ? -1 : gpu_submit(gpu_held.gpu, 0, &command, 1, -1);
	ret = second < 0 ? second : fill_ring(second);
	if (ret || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return ret ? ret : -errno;
	gpu_held.child = fork();
	if (!gpu_held.child)
		be_killed(sockets[1]);
	close(sockets[1]);
	close(gpu_held.fence);
	gpu_held.fence = life_receive_fd(sockets[0]);
	close(sockets[0]);
	close(second);
	kill(gpu_held.child, SIGKILL);
	if (waitpid(gpu_held.child, NULL, 0) != gpu_held.child)
		return -ECHILD;
	gpu_held.child = 0;
	gpu_held_unmap();
	gpu_held_close();
	return gpu_held.fence < 0 ? gpu_held.fence : 0;
}

int gpu_held_check_killed(enum life_action action)
{
	struct pollfd pollfd = { .fd = gpu_held.fence, .events = POLLIN };
	int status, ret;

	(void)action;
	if (poll(&pollfd, 1, GPU_HELD_TIMEOUT_MS) != 1)
		return -ETIMEDOUT;
	ret = gpu_held_fence_status(gpu_held.fence, &status);
	return ret ? ret : status == -ESRCH ? 0 : -EBADMSG;
}

/* Starts a child, with a word of shared memory for both. */
static int start_child(void (*run)(void))
{
	if (!gpu_held.word)
		gpu_held.word = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (gpu_held.word == MAP_FAILED)
		return -ENOMEM;
	*gpu_held.word = 0;
	gpu_held.child = fork();
	if (!gpu_held.child)
		run();
	return gpu_held.child < 0 ? -ECHILD : 0;
}

static void wait_for_buffer(void)
{
	struct drm_fencepost_gpu_info info;

	/* DRM waits at the first ioctl of another process, too. */
	gpu_ioctl(gpu_held.gpu, DRM_IOCTL_FENCEPOST_GPU_INFO, &info);
	*gpu_held.word = 1;
	_exit(-gpu_buffer_wait(gpu_held.gpu, &gpu_held.buffers[A], GPU_HELD_TIMEOUT_MS));
}

/* A child that sleeps in an ioctl for the running job's buffer. */
int gpu_held_take_waiter(void)
{
	int ret = gpu_held_take_running();

	if (!ret)
		ret = start_child(wait_for_buffer);
	while (!ret && !*gpu_held.word)
		usleep(1000);
	return ret ? ret : life_wait_asleep(gpu_held.child);
}

int gpu_held_check_waiter(enum life_action action)
{
	int status = 0, ret = gpu_held_check_running(action);

	if (waitpid(gpu_held.child, &status, 0) != gpu_held.child)
		return -ECHILD;
	gpu_held.child = 0;
	/* The job ended, one way or the other, and that is what was waited for. */
	return ret ? ret : -WEXITSTATUS(status);
}

/* Draws over and over, and looks at what it drew, until it must stop or the GPU is gone. */
static void draw_and_draw(void)
{
	struct drm_fencepost_gpu_command command;
	struct gpu_buffer imported = { 0 };
	uint32_t pattern = 1;
	int ret = 0, dmabuf;

	while (!ret && !*gpu_held.word) {
		struct gpu_buffer *buffer = &gpu_held.buffers[pattern % SEMAPHORE];

		command = gpu_fill(buffer, GPU_HELD_BYTES, ++pattern);
		ret = gpu_run(gpu_held.gpu, pattern % 2, &command);
		if (!ret && !gpu_held_is_filled(buffer->map, pattern))
			ret = -EBADMSG;
		/* Ioctls that make and end mappings are to be met in the middle, too. */
		dmabuf = ret ? ret : gpu_export(gpu_held.gpu, buffer->handle);
		ret = dmabuf < 0 ? dmabuf : gpu_import(gpu_held.gpu, dmabuf, &imported.handle);
		close(dmabuf);
		gpu_buffer_destroy(gpu_held.gpu, buffer);
		if (!ret)
			ret = gpu_buffer_create(gpu_held.gpu, GPU_HELD_BYTES, buffer);
	}
	_exit(-ret);
}

int gpu_held_take_client(void)
{
	int ret = gpu_held_open();

	if (!ret)
		ret = start_child(draw_and_draw);
	usleep(5000);
	return ret;
}

int gpu_held_check_client(enum life_action action)
{
	int status = 0;

	usleep(5000);
	*gpu_held.word = 1;
	if (waitpid(gpu_held.child, &status, 0) != gpu_held.child || !WIFEXITED(status))
		return -ECHILD;
	gpu_held.child = 0;
	return WEXITSTATUS(status) == (life_is_loss(action) ? ENODEV : 0) ? 0 : -WEXITSTATUS(status);
}
