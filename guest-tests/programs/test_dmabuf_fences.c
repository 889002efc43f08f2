// SPDX-License-Identifier: GPL-2.0
/*
 * Fences of dma-bufs and sync_files against jobs of the GPU that are still running, in KTAP: poll, IOCTL_SYNC, export, import, merge,
 * syncobjs' eventfds and deadlines.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/sync_file.h>

#include "display.h"
#include "gpu_client.h"
#include "ktap.h"

/* The libc's headers are older than the kernels. */
/* Since Linux 6.6; <drm/drm.h>. */
#ifndef DRM_IOCTL_SYNCOBJ_EVENTFD
struct drm_syncobj_eventfd {
	__u32 handle;
	__u32 flags;
	__u64 point;
	__s32 fd;
	__u32 pad;
};
#define DRM_IOCTL_SYNCOBJ_EVENTFD DRM_IOWR(0xcf, struct drm_syncobj_eventfd)
#endif

#ifndef SYNC_IOC_SET_DEADLINE
struct sync_set_deadline {
	__u64 deadline_ns;
	__u64 pad;
};
#define SYNC_IOC_SET_DEADLINE _IOW(SYNC_IOC_MAGIC, 5, struct sync_set_deadline)
#endif

#define BYTES 4096
#define TIMEOUT_MS 20000

static int gpu, dmabuf;
static struct gpu_buffer a, b, semaphore;

static bool kernel_is(int major, int minor)
{
	struct utsname name;
	int here[2] = { 0 };

	uname(&name);
	sscanf(name.release, "%d.%d", &here[0], &here[1]);
	return here[0] > major || (here[0] == major && here[1] >= minor);
}

/* The job that ring is held by until release(ring), and then this command; returns its sync_file. */
static int start(uint32_t ring, struct drm_fencepost_gpu_command command)
{
	struct drm_fencepost_gpu_command commands[2] = { gpu_sem_wait(&semaphore, 1), command };

	__atomic_store_n((uint64_t *)semaphore.map + ring, 0, __ATOMIC_RELEASE);
	commands[0].dst.offset = 8 * ring;
	return gpu_submit(gpu, ring, commands, 2, -1);
}

static int release(uint32_t ring, int fence)
{
	__atomic_store_n((uint64_t *)semaphore.map + ring, 1, __ATOMIC_RELEASE);
	return gpu_fence_wait(fence, TIMEOUT_MS);
}

/* A job that writes the buffer, and one that reads it. */
static struct drm_fencepost_gpu_command writer(void)
{
	return gpu_fill(&a, BYTES, 0x3e3e3e3e);
}

static struct drm_fencepost_gpu_command reader(void)
{
	return gpu_copy(&b, &a, BYTES);
}

static int events(int timeout_ms)
{
	struct pollfd pollfd = { .fd = dmabuf, .events = POLLIN | POLLOUT };

	return poll(&pollfd, 1, timeout_ms) < 0 ? -errno : pollfd.revents;
}

static void test_poll(void)
{
	int idle = events(0), fence = start(0, writer()), during = events(0), after, ret = release(0, fence);

	after = events(0);
	ktap_result(!ret && idle == (POLLIN | POLLOUT) && !during && after == (POLLIN | POLLOUT),
		    "poll while a job writes: neither to read nor to write (%d; %#x, %#x, %#x)", ret, idle, during, after);
	fence = start(0, reader());
	during = events(0);
	ret = release(0, fence);
	after = events(0);
	ktap_result(!ret && during == POLLIN && after == (POLLIN | POLLOUT),
		    "poll while a job reads: to read, not to write (%d; %#x, %#x)", ret, during, after);
}

/* A process that sleeps in poll() is woken by the job's end. */
static void test_poll_sleeps(void)
{
	struct pollfd pollfd = { .fd = dmabuf, .events = POLLOUT };
	int fence = start(1, reader()), status = -1, early, ret;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child)
		_exit(poll(&pollfd, 1, TIMEOUT_MS) != 1 || pollfd.revents != POLLOUT);
	usleep(5000);
	early = waitpid(child, &status, WNOHANG);
	ret = release(1, fence);
	waitpid(child, &status, 0);
	ktap_result(child > 0 && !early && !ret && !status, "who sleeps in poll is woken when the job ends (%d, status %d)", ret, status);
}

/* Whether a CPU access of another process waits for the job that runs. */
static bool access_waits(uint64_t way, struct drm_fencepost_gpu_command command)
{
	struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_START | way };
	int fence = start(0, command), status = -1, early, ret;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child)
		_exit(!!gpu_ioctl(dmabuf, DMA_BUF_IOCTL_SYNC, &sync));
	/* One that does not wait is done long before. */
	usleep(50000);
	early = waitpid(child, &status, WNOHANG);
	ret = release(0, fence);
	if (!early)
		waitpid(child, &status, 0);
	if (ret || status)
		ktap_note("an access ends with %d, its job with %d", status, ret);
	return !early && !ret && !status;
}

static void test_access(void)
{
	bool read_write = access_waits(DMA_BUF_SYNC_READ, writer()), read_read = access_waits(DMA_BUF_SYNC_READ, reader());
	bool write_read = access_waits(DMA_BUF_SYNC_WRITE, reader()), both_read = access_waits(DMA_BUF_SYNC_RW, reader());

	ktap_result(read_write && !read_read && write_read && both_read,
		    "IOCTL_SYNC waits: to read for a writer %d, for a reader %d; to write for a reader %d, for both %d", read_write,
		    read_read, write_read, both_read);
}

static int export(uint32_t way)
{
	struct dma_buf_export_sync_file export = { .flags = way };
	int ret = gpu_ioctl(dmabuf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &export);

	return ret ? ret : export.fd;
}

/* Whether what a reader, or a writer, must wait for is done; -1 on errors. Closes it. */
static int export_is_done(uint32_t way)
{
	int fd = export(way), done = fd < 0 ? -1 : gpu_fence_is_done(fd);

	if (fd >= 0)
		close(fd);
	return done;
}

static void test_export(void)
{
	int idle = export_is_done(DMA_BUF_SYNC_RW), fence = start(0, writer()), held = export(DMA_BUF_SYNC_READ);
	int early = gpu_fence_is_done(held), ret = release(0, fence), reads, writes, bad;

	ret = gpu_fence_wait(held, TIMEOUT_MS) ?: ret;
	ktap_result(idle == 1 && !early && !ret, "EXPORT_SYNC_FILE gives the writer that runs (%d)", ret);
	fence = start(0, reader());
	reads = export_is_done(DMA_BUF_SYNC_READ);
	writes = export_is_done(DMA_BUF_SYNC_WRITE);
	ret = release(0, fence);
	bad = export(0);
	ktap_result(!ret && reads == 1 && writes == 0 && bad == -EINVAL,
		    "of a reader that runs only who writes must know (%d; %d, %d, %d)", ret, reads, writes, bad);
}

/* A job of the other ring that has nothing to do with the buffer is made one that a reader or a writer waits for. */
static bool import_is_waited_for(uint32_t way, struct drm_fencepost_gpu_command command)
{
	struct drm_fencepost_gpu_command nop = { 0 };
	struct dma_buf_import_sync_file import = { .flags = way, .fd = start(0, nop) };
	int ret = gpu_ioctl(dmabuf, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &import), fence, early;

	fence = gpu_submit(gpu, 1, &command, 1, -1);
	usleep(50000);
	early = gpu_fence_is_done(fence);
	ret = release(0, import.fd) ?: ret;
	ret = gpu_fence_wait(fence, TIMEOUT_MS) ?: ret;
	if (ret)
		ktap_note("an import or a job ends with %d", ret);
	return !ret && !early;
}

static void test_import(void)
{
	struct dma_buf_import_sync_file wrong = { .flags = DMA_BUF_SYNC_READ, .fd = dmabuf };
	bool read_write = import_is_waited_for(DMA_BUF_SYNC_WRITE, reader());
	bool write_read = import_is_waited_for(DMA_BUF_SYNC_READ, writer());
	bool read_read = import_is_waited_for(DMA_BUF_SYNC_READ, reader());
	int refused = gpu_ioctl(dmabuf, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &wrong);

	ktap_result(read_write && write_read && !read_read && refused == -EINVAL,
		    "IMPORT_SYNC_FILE: a reader waits for a write %d, a writer for a read %d, a reader for a read %d (%d)", read_write,
		    write_read, read_read, refused);
}

static struct sync_file_info info_of(int fence)
{
	struct sync_file_info info = { 0 };

	gpu_ioctl(fence, SYNC_IOC_FILE_INFO, &info);
	return info;
}

static int merge(int first, int second)
{
	struct sync_merge_data merge = { .name = "both", .fd2 = second };
	int ret = gpu_ioctl(first, SYNC_IOC_MERGE, &merge);

	return ret ? ret : merge.fence;
}

static void test_merge(void)
{
	struct drm_fencepost_gpu_command nop = { 0 };
	int done = gpu_submit(gpu, 2, &nop, 1, -1), also, first, second, one, two, none, ret, early;
	struct pollfd pollfd = { .fd = done, .events = POLLIN };

	ret = poll(&pollfd, 1, TIMEOUT_MS) == 1 ? 0 : -ETIME;
	also = dup(done);
	none = merge(done, also);
	ktap_result(!ret && info_of(none).status == 1, "two signalled sync files merge to a signalled one");
	first = start(0, nop);
	second = start(1, nop);
	one = merge(done, first);
	two = merge(one, second);
	ktap_result(!info_of(one).status && info_of(one).num_fences == 1 && !strcmp(info_of(one).name, "both"),
		    "a signalled and an unsignalled one merge to the one fence that is left");
	ktap_result(!info_of(two).status && info_of(two).num_fences == 2, "two unsignalled ones merge to two fences");
	ret = release(0, first);
	ret = gpu_fence_wait(one, TIMEOUT_MS) ?: ret;
	early = gpu_fence_is_done(two);
	ret = release(1, second) ?: ret;
	ret = gpu_fence_wait(two, TIMEOUT_MS) ?: ret;
	ktap_result(!ret && !early, "which signals with the last of them (%d)", ret);
	close(none);
	close(also);
	close(done);
}

/* The number of events since the last look; 0 if there was none. */
static uint64_t taken(int fd, int timeout_ms)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	uint64_t count = 0;

	return poll(&pollfd, 1, timeout_ms) == 1 && read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void test_eventfd(void)
{
	struct drm_syncobj_create create = { 0 };
	struct drm_fencepost_gpu_command command = gpu_sem_wait(&semaphore, 1);
	struct drm_syncobj_eventfd available = { .point = 3, .flags = DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE };
	struct drm_syncobj_eventfd signalled = { .point = 3 };
	struct drm_fencepost_gpu_sync point = { .point = 3 };
	struct drm_fencepost_gpu_submit submit = {
		.commands = (uintptr_t)&command, .command_count = 1, .out_syncs = (uintptr_t)&point, .out_sync_count = 1,
	};
	uint64_t early[2], submitted[2];
	int ret;

	if (!kernel_is(6, 6)) {
		ktap_skip("a syncobj's eventfd", "the kernel has it since 6.6");
		return;
	}
	ret = gpu_ioctl(gpu, DRM_IOCTL_SYNCOBJ_CREATE, &create);
	point.handle = available.handle = signalled.handle = create.handle;
	available.fd = eventfd(0, EFD_CLOEXEC);
	signalled.fd = eventfd(0, EFD_CLOEXEC);
	ret = ret ?: gpu_ioctl(gpu, DRM_IOCTL_SYNCOBJ_EVENTFD, &available);
	ret = ret ?: gpu_ioctl(gpu, DRM_IOCTL_SYNCOBJ_EVENTFD, &signalled);
	early[0] = taken(available.fd, 0);
	early[1] = taken(signalled.fd, 0);
	__atomic_store_n((uint64_t *)semaphore.map, 0, __ATOMIC_RELEASE);
	ret = ret ?: gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_SUBMIT, &submit);
	submitted[0] = taken(available.fd, TIMEOUT_MS);
	submitted[1] = taken(signalled.fd, 0);
	__atomic_store_n((uint64_t *)semaphore.map, 1, __ATOMIC_RELEASE);
	ktap_result(!ret && !early[0] && !early[1] && submitted[0] == 1 && !submitted[1] && taken(signalled.fd, TIMEOUT_MS) == 1,
		    "a syncobj's eventfd: one when the point is submitted, one when it is signalled (%d)", ret);
	close(available.fd);
	close(signalled.fd);
}

static void test_deadline(void)
{
	struct sync_set_deadline deadline = { 0 };
	struct timespec now;
	int fence, ret, refused;

	if (!kernel_is(6, 5)) {
		ktap_skip("a deadline of a fence", "the kernel has it since 6.5");
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	deadline.deadline_ns = now.tv_sec * 1000000000ull + now.tv_nsec + 1000000;
	fence = start(0, writer());
	ret = gpu_ioctl(fence, SYNC_IOC_SET_DEADLINE, &deadline);
	deadline.pad = 1;
	refused = gpu_ioctl(fence, SYNC_IOC_SET_DEADLINE, &deadline);
	/* A hint: a job that misses it still ends as it would have. */
	usleep(2000);
	ret = ret ?: gpu_fence_is_done(fence);
	ret = release(0, fence) ?: ret;
	ktap_result(!ret && refused == -EINVAL && gpu_is_filled(a.map, BYTES, 0x3e3e3e3e),
		    "a deadline of a fence is taken, and missed without harm (%d, %d)", ret, refused);
}

int main(void)
{
	int ret;

	ktap_plan(14);
	gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	ret = gpu < 0 ? gpu : gpu_buffer_create(gpu, BYTES, &a);
	ret = ret ?: gpu_buffer_create(gpu, BYTES, &b);
	ret = ret ?: gpu_buffer_create(gpu, BYTES, &semaphore);
	dmabuf = ret ? ret : gpu_export(gpu, a.handle);
	if (!ktap_result(dmabuf >= 0, "the GPU opens and exports a buffer (%d)", dmabuf))
		return ktap_finish();
	test_poll();
	test_poll_sleeps();
	test_access();
	test_export();
	test_import();
	test_merge();
	test_eventfd();
	test_deadline();
	return ktap_finish();
}
