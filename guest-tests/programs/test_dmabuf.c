// SPDX-License-Identifier: GPL-2.0
/*
 * The file that is a dma-buf, of GPU and display, in KTAP: mappings at any offset, size, name, fdinfo, refused arguments, a socket
 * to another process, and life after its exporter's file.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/dma-buf.h>

#include "display.h"
#include "display_fb.h"
#include "gpu_client.h"
#include "ktap.h"

#define PAGE 4096
#define PAGES 16
#define BYTES ((size_t)PAGES * PAGE)

static int gpu;

static uint8_t *map_at(int dmabuf, size_t bytes, off_t offset)
{
	uint8_t *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf, offset);

	return map == MAP_FAILED ? NULL : map;
}

/* What page n of a buffer holds. */
static uint32_t page_pattern(unsigned int page)
{
	return 0x9a9e0000u | page;
}

/* Whether the pages of a mapping from page "first" on are those of the buffer. */
static bool is_pages(const uint8_t *map, unsigned int first, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		if (!gpu_is_filled(map + i * PAGE, PAGE, page_pattern(first + i)))
			return false;
	}
	return true;
}

static int fill_pages(int dmabuf)
{
	uint8_t *map = map_at(dmabuf, BYTES, 0);

	if (!map)
		return -errno;
	for (unsigned int i = 0; i < PAGES * PAGE / 4; i++) {
		uint32_t word = page_pattern(i * 4 / PAGE);

		memcpy(map + i * 4, &word, 4);
	}
	munmap(map, BYTES);
	return 0;
}

static void test_offsets(int dmabuf, const char *whose)
{
	static const unsigned int starts[] = { 1, 3, PAGES / 2, PAGES - 1 };
	unsigned int wrong = 0;
	int ret = fill_pages(dmabuf);
	uint8_t *map;

	for (unsigned int i = 0; !ret && i < sizeof(starts) / sizeof(starts[0]); i++) {
		unsigned int count = PAGES - starts[i];

		map = map_at(dmabuf, (size_t)count * PAGE, (off_t)starts[i] * PAGE);
		wrong += !map || !is_pages(map, starts[i], count);
		if (map)
			munmap(map, (size_t)count * PAGE);
	}
	ktap_result(!ret && !wrong, "%s: a mapping from page n on shows page n (%d, %u wrong)", whose, ret, wrong);
	map = map_at(dmabuf, BYTES, PAGE);
	ktap_result(!map && errno == EINVAL, "%s: a mapping beyond the end is refused", whose);
}

/* The kernel splits a mapping whose middle goes. What is left was never touched, and is shown by a fault. */
static void test_split(int dmabuf, const char *whose)
{
	uint8_t *map = map_at(dmabuf, BYTES, 0);
	int status = -1;
	pid_t child;

	if (!map || munmap(map, 2 * PAGE) || munmap(map + 6 * PAGE, PAGE)) {
		ktap_result(0, "%s: a mapping with holes", whose);
		return;
	}
	fflush(stdout);
	child = fork();
	if (!child)
		_exit(!is_pages(map + 2 * PAGE, 2, 4) || !is_pages(map + 7 * PAGE, 7, PAGES - 7));
	waitpid(child, &status, 0);
	ktap_result(is_pages(map + 2 * PAGE, 2, 4) && is_pages(map + 7 * PAGE, 7, PAGES - 7) && child > 0 && !status,
		    "%s: what is left of a mapping shows its own pages, in a child too (status %d)", whose, status);
	munmap(map, BYTES);
}

static void test_size(int dmabuf, const char *whose)
{
	off_t end = lseek(dmabuf, 0, SEEK_END), start = lseek(dmabuf, 0, SEEK_SET);
	off_t far = lseek(dmabuf, 1, SEEK_SET);

	ktap_result(end == (off_t)BYTES && !start && far == -1, "%s: the size is where it ends (%lld)", whose, (long long)end);
}

static bool fdinfo_has(int dmabuf, const char *line)
{
	char path[64], text[128];
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", dmabuf);
	file = fopen(path, "r");
	while (file && fgets(text, sizeof(text), file)) {
		text[strcspn(text, "\n")] = 0;
		found |= !strcmp(text, line);
	}
	if (file)
		fclose(file);
	return found;
}

static void test_name(int dmabuf, const char *whose)
{
	static const char long_name[] = "a name of more than thirty-one characters";
	char size[32];
	int ret = gpu_ioctl(dmabuf, DMA_BUF_SET_NAME_B, "frame 7"), too_long;

	snprintf(size, sizeof(size), "size:\t%zu", BYTES);
	ktap_result(!ret && fdinfo_has(dmabuf, "name:\tframe 7") && fdinfo_has(dmabuf, size) &&
		    fdinfo_has(dmabuf, "exp_name:\tdrm"), "%s: fdinfo has the size, and the name that was set (%d)", whose, ret);
	too_long = gpu_ioctl(dmabuf, DMA_BUF_SET_NAME_B, (void *)long_name);
	ktap_result(too_long == -EINVAL && fdinfo_has(dmabuf, "name:\tframe 7"),
		    "%s: a name that is too long is refused (%d)", whose, too_long);
}

static void test_sync(int dmabuf, const char *whose)
{
	static const uint64_t ways[] = { DMA_BUF_SYNC_READ, DMA_BUF_SYNC_WRITE, DMA_BUF_SYNC_RW };
	static const uint64_t bad[] = { 0, DMA_BUF_SYNC_START, 8 | DMA_BUF_SYNC_RW, DMA_BUF_SYNC_END };
	int wrong = 0;

	for (unsigned int i = 0; i < 3; i++) {
		struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_START | ways[i] };

		wrong += !!gpu_ioctl(dmabuf, DMA_BUF_IOCTL_SYNC, &sync);
		sync.flags = DMA_BUF_SYNC_END | ways[i];
		wrong += !!gpu_ioctl(dmabuf, DMA_BUF_IOCTL_SYNC, &sync);
	}
	for (unsigned int i = 0; i < 4; i++) {
		struct dma_buf_sync sync = { .flags = bad[i] };

		wrong += gpu_ioctl(dmabuf, DMA_BUF_IOCTL_SYNC, &sync) != -EINVAL;
	}
	ktap_result(!wrong, "%s: IOCTL_SYNC in every direction, and nothing else (%d wrong)", whose, wrong);
}

/* Sends a descriptor; returns 0 or a negative errno. */
static int send_fd(int socket, int fd)
{
	union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = { { 0 } };
	struct iovec part = { .iov_base = "", .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	return sendmsg(socket, &message, 0) == 1 ? 0 : -errno;
}

static int receive_fd(int socket)
{
	union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = { { 0 } };
	char byte;
	struct iovec part = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes),
	};
	int fd = -1;

	if (recvmsg(socket, &message, 0) == 1 && CMSG_FIRSTHDR(&message))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

/* Another process, with a GPU file of its own: page 1 by the CPU, page 2 by the GPU. */
static int use_in_child(int socket)
{
	int dmabuf = receive_fd(socket), other = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	struct gpu_buffer imported = { 0 };
	struct drm_fencepost_gpu_command fill;
	uint8_t *map = map_at(dmabuf, PAGE, PAGE);

	if (!map || gpu_import(other, dmabuf, &imported.handle))
		return 1;
	memset(map, 0x5a, PAGE);
	fill = gpu_fill(&imported, PAGE, 0xa5a5a5a5);
	fill.dst.offset = 2 * PAGE;
	return !!gpu_run(other, 0, &fill);
}

static void test_socket(int dmabuf, const char *whose)
{
	int pair[2], ret = socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), status = -1;
	uint8_t *map = map_at(dmabuf, BYTES, 0);
	pid_t child = -1;

	fflush(stdout);
	if (!ret)
		child = fork();
	if (!child) {
		close(dmabuf);
		close(gpu);
		_exit(use_in_child(pair[1]));
	}
	if (!ret)
		ret = send_fd(pair[0], dmabuf);
	waitpid(child, &status, 0);
	ktap_result(!ret && !status && map && gpu_is_filled(map + PAGE, PAGE, 0x5a5a5a5a) &&
		    gpu_is_filled(map + 2 * PAGE, PAGE, 0xa5a5a5a5) && is_pages(map, 0, 1) && is_pages(map + 3 * PAGE, 3, 1),
		    "%s: another process gets it by a socket, and CPU and GPU write there (%d, status %d)", whose, ret, status);
	if (map)
		munmap(map, BYTES);
	close(pair[0]);
	close(pair[1]);
}

/* The exporter's file is closed: the pages live as long as the dma-buf. */
static void test_orphan(int dmabuf, const char *whose)
{
	struct gpu_buffer imported = { 0 };
	struct drm_fencepost_gpu_command fill;
	int ret = fill_pages(dmabuf);
	uint8_t *map = map_at(dmabuf, BYTES, 0);

	if (!ret)
		ret = gpu_import(gpu, dmabuf, &imported.handle);
	close(dmabuf);
	fill = gpu_fill(&imported, PAGE, 0x0afa0afa);
	if (!ret)
		ret = gpu_run(gpu, 1, &fill);
	gpu_buffer_destroy(gpu, &imported);
	ktap_result(!ret && map && gpu_is_filled(map, PAGE, 0x0afa0afa) && is_pages(map + PAGE, 1, PAGES - 1),
		    "%s: import and mapping outlive the exporter's file and the dma-buf's (%d)", whose, ret);
	if (map)
		munmap(map, BYTES);
}

static void test_file(int dmabuf, const char *whose)
{
	test_offsets(dmabuf, whose);
	test_split(dmabuf, whose);
	test_size(dmabuf, whose);
	test_name(dmabuf, whose);
	test_sync(dmabuf, whose);
	test_socket(dmabuf, whose);
}

/* A dma-buf of a buffer of the GPU's, and the file that it is from. */
static int export_gpu(int *file)
{
	struct gpu_buffer buffer;
	int ret;

	*file = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	ret = *file < 0 ? *file : gpu_buffer_create(*file, BYTES, &buffer);
	return ret ? ret : gpu_export(*file, buffer.handle);
}

static int export_display(int *file)
{
	struct drm_mode_create_dumb create = { .width = 128, .height = 128, .bpp = 32 };
	int ret;

	*file = display_open_node("card", FENCEPOST_DISPLAY_DRIVER_NAME);
	ret = *file < 0 ? *file : display_ioctl(*file, DRM_IOCTL_MODE_CREATE_DUMB, &create);
	if (!ret && create.size != BYTES)
		ret = -ERANGE;
	return ret ? ret : gpu_export(*file, create.handle);
}

int main(void)
{
	static const struct { const char *name; int (*export)(int *file); } exporters[] = {
		{ "gpu", export_gpu }, { "display", export_display },
	};

	ktap_plan(2 * 10);
	gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	for (unsigned int i = 0; i < 2; i++) {
		int file, dmabuf = exporters[i].export(&file);

		if (!ktap_result(dmabuf >= 0, "%s: a buffer is exported (%d)", exporters[i].name, dmabuf))
			continue;
		test_file(dmabuf, exporters[i].name);
		close(file);
		test_orphan(dmabuf, exporters[i].name);
	}
	return ktap_finish();
}
