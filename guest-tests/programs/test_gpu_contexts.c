// SPDX-License-Identifier: GPL-2.0
/*
 * The GPU's clients beside each other, in KTAP: each open file has an address space of its own, and reaches nothing of another's. What
 * a job names stays until it is done, and what is closed is not there any more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "display.h"
#include "gpu_client.h"
#include "gpu_dump.h"
#include "ktap.h"

#define BYTES 8192
#define LARGE_BYTES (8u << 20)
#define TIMEOUT_MS 20000
#define TRIES 500

/* Two clients, and a buffer of each. */
static int one, two;
static struct gpu_buffer a, b;

static uint64_t address_of(int fd, uint32_t handle)
{
	struct drm_fencepost_gpu_bo_address args = { .handle = handle };

	return gpu_ioctl(fd, DRM_IOCTL_FENCEPOST_GPU_BO_ADDRESS, &args) ? 0 : args.address;
}

/* The command that fills what is at an address. */
static struct drm_fencepost_gpu_command fill_at(uint64_t address, uint32_t bytes, uint32_t pattern)
{
	return (struct drm_fencepost_gpu_command) {
		.opcode = FENCEPOST_GPU_CMD_FILL,
		.flags = FENCEPOST_GPU_VIRTUAL,
		.dst.offset = address,
		.width = bytes,
		.height = 1,
		.value = pattern,
	};
}

static int fill(int fd, uint64_t address, uint32_t bytes, uint32_t pattern)
{
	struct drm_fencepost_gpu_command command = fill_at(address, bytes, pattern);

	return gpu_run(fd, 0, &command);
}

static int failed_with(int fd, uint32_t ring, uint32_t code, uint64_t address)
{
	struct drm_fencepost_gpu_ring_info info = { .ring = ring };
	int ret = gpu_ioctl(fd, DRM_IOCTL_FENCEPOST_GPU_RING_INFO, &info);

	if (!ret && info.last_error == code && info.last_error_address == address)
		return 1;
	ktap_note("error %u at %#llx, and not %u at %#llx (%d)", info.last_error, (unsigned long long)info.last_error_address,
		  code, (unsigned long long)address, ret);
	return 0;
}

static void test_spaces(void)
{
	uint64_t in_one = address_of(one, a.handle), in_two = address_of(two, b.handle);
	int ret = fill(one, in_one, BYTES, 0x11111111), other = fill(two, in_two, BYTES, 0x22222222);

	ktap_result(in_one && in_one == in_two && !ret && !other && gpu_is_filled(a.map, BYTES, 0x11111111) &&
		    gpu_is_filled(b.map, BYTES, 0x22222222),
		    "the same address is another buffer in each client (%#llx, %#llx, %d, %d)",
		    (unsigned long long)in_one, (unsigned long long)in_two, ret, other);
}

/* A job of the first client at an address of the second's, between two jobs of the second on the same ring. */
static void guess(uint32_t ring, const struct drm_fencepost_gpu_command *command, uint64_t faulted, struct gpu_buffer *secret)
{
	struct drm_fencepost_gpu_command before = gpu_fill(&b, BYTES, 0xbef0be), after = gpu_fill(&b, BYTES, 0xaf7e4);
	struct drm_fencepost_gpu_command own = gpu_fill(&a, BYTES, 0x0070);
	char at[64];
	const char *const wanted[] = { "reason error\n", "register error_code 0xb\n", at, "register error_context 0x", NULL };
	int fences[4], results[4], lacking;

	gpu_dump_clear();
	fences[0] = gpu_submit(two, ring, &before, 1, -1);
	fences[1] = gpu_submit(one, ring, command, 1, -1);
	fences[2] = gpu_submit(two, ring, &after, 1, -1);
	fences[3] = gpu_submit(one, ring, &own, 1, -1);
	for (int i = 0; i < 4; i++)
		results[i] = gpu_fence_wait(fences[i], TIMEOUT_MS);
	snprintf(at, sizeof(at), "register error_address %#llx\n", (unsigned long long)faulted);
	lacking = gpu_dump_lacks(gpu_dump_read(), wanted);
	ktap_result(!results[0] && results[1] == -EIO && !results[2] && !results[3] && !lacking &&
		    gpu_is_filled(secret->map, secret->size, 0x5ec2e7) && gpu_is_filled(a.map, BYTES, 0x0070) &&
		    gpu_is_filled(b.map, BYTES, 0xaf7e4) && failed_with(one, ring, FENCEPOST_GPU_ERROR_NOT_PRESENT, faulted),
		    "opcode %u on ring %u does not reach another client's buffer, which goes on: %d %d %d %d", command->opcode, ring,
		    results[0], results[1], results[2], results[3]);
}

static void test_guesses(void)
{
	struct gpu_buffer secret = { 0 };
	struct drm_fencepost_gpu_command command;
	int ret = gpu_buffer_create(two, BYTES, &secret);
	uint64_t address = ret ? 0 : address_of(two, secret.handle);

	/* It is in the TLB from here on, as the second client's. */
	ret = fill(two, address, BYTES, 0x5ec2e7);
	ktap_result(!ret && address && gpu_is_filled(secret.map, BYTES, 0x5ec2e7), "the second client has a secret at %#llx (%d)",
		    (unsigned long long)address, ret);
	for (uint32_t ring = 0; ring < 3; ring++) {
		command = fill_at(address + 4096 * (ring % 2), 64, 0xbad);
		guess(ring, &command, command.dst.offset, &secret);
	}
	command.opcode = FENCEPOST_GPU_CMD_COPY;
	command.value = 0;
	command.src.offset = address;
	command.dst.offset = address_of(one, a.handle);
	guess(1, &command, address, &secret);
	command = (struct drm_fencepost_gpu_command) {
		.opcode = FENCEPOST_GPU_CMD_SEM_SIGNAL,
		.flags = FENCEPOST_GPU_VIRTUAL,
		.dst.offset = address + 8,
	};
	guess(2, &command, address + 8, &secret);
	gpu_buffer_destroy(two, &secret);
}

static void test_read_only(void)
{
	struct drm_fencepost_gpu_bo_create create = { .size = BYTES, .flags = FENCEPOST_GPU_BO_READ_ONLY };
	int ret = gpu_ioctl(one, DRM_IOCTL_FENCEPOST_GPU_BO_CREATE, &create);
	struct gpu_buffer constant = { .handle = create.handle, .size = BYTES };
	struct drm_fencepost_gpu_command write = gpu_fill(&constant, 64, 1), read = gpu_copy(&a, &constant, BYTES);
	uint64_t address = address_of(one, constant.handle);
	int refused, taken;

	write.dst.offset = 4096;
	refused = gpu_run(one, 0, &write);
	ktap_result(!ret && refused == -EIO && failed_with(one, 0, FENCEPOST_GPU_ERROR_READ_ONLY, address + 4096),
		    "a job does not write a buffer that is to be read (%d, %d)", ret, refused);
	taken = gpu_run(one, 0, &read);
	ktap_result(!taken && gpu_is_filled(a.map, BYTES, 0), "it reads it (%d)", taken);
	gpu_buffer_destroy(one, &constant);
}

/* The handle is closed while a job that names it waits on the ring. */
static void test_close(void)
{
	struct gpu_buffer closed = { 0 }, next = { 0 };
	struct drm_fencepost_gpu_command commands[2] = { gpu_sem_wait(&b, 1) };
	struct drm_gem_close close_args;
	uint64_t address, again;
	int fence, ret = gpu_buffer_create(two, BYTES, &closed), gone = 0, tries = 0;

	address = address_of(two, closed.handle);
	memset(b.map, 0, 8);
	commands[1] = gpu_fill(&closed, BYTES, 0xc105ed);
	fence = gpu_submit(two, 1, commands, 2, -1);
	close_args.handle = closed.handle;
	gpu_ioctl(two, DRM_IOCTL_GEM_CLOSE, &close_args);
	__atomic_store_n((uint64_t *)b.map, 1, __ATOMIC_RELEASE);
	ret = ret ?: gpu_fence_wait(fence, TIMEOUT_MS);
	ktap_result(!ret && gpu_is_filled(closed.map, BYTES, 0xc105ed), "a buffer stays while a job has it (%d)", ret);

	/* The job is freed some time after its fence. */
	while (!gone && tries++ < TRIES) {
		gone = fill(two, address, 64, 0xc105ed);
		usleep(10000);
	}
	ktap_result(gone == -EIO && failed_with(two, 0, FENCEPOST_GPU_ERROR_NOT_PRESENT, address),
		    "its address is of nothing then (%d)", gone);

	ret = gpu_buffer_create(two, BYTES, &next);
	again = address_of(two, next.handle);
	ret = ret ?: fill(two, again, BYTES, 0x0e3);
	ktap_result(!ret && again == address && gpu_is_filled(next.map, BYTES, 0x0e3) && gpu_is_filled(closed.map, BYTES, 0xc105ed),
		    "the next buffer is at the address, and the old one is left alone (%d)", ret);
	munmap(closed.map, BYTES);
	gpu_buffer_destroy(two, &next);
}

static void test_shared(void)
{
	int dmabuf = gpu_export(two, b.handle), ret;
	struct gpu_buffer imported = { .size = BYTES };

	ret = dmabuf < 0 ? dmabuf : gpu_import(one, dmabuf, &imported.handle);
	ret = ret ?: fill(one, address_of(one, imported.handle), BYTES, 0x54a2ed);
	ktap_result(!ret && gpu_is_filled(b.map, BYTES, 0x54a2ed), "a shared buffer has an address in both clients (%d)", ret);
	gpu_buffer_destroy(one, &imported);
	if (dmabuf >= 0)
		close(dmabuf);
}

/* One that has room for pages of 2 MiB, and what is behind it. */
static void test_large(void)
{
	struct gpu_buffer large = { 0 };
	int ret = gpu_buffer_create(one, LARGE_BYTES, &large), behind;
	uint64_t address = ret ? 0 : address_of(one, large.handle);

	ret = ret ?: fill(one, address, LARGE_BYTES, 0x1a26e);
	behind = fill(one, address + LARGE_BYTES - 64, 128, 0xbad);
	ktap_result(!ret && behind == -EIO && gpu_is_filled(large.map, LARGE_BYTES - 64, 0x1a26e) &&
		    failed_with(one, 0, FENCEPOST_GPU_ERROR_NOT_PRESENT, address + LARGE_BYTES),
		    "a large buffer is all there, and nothing is behind it (%d, %d)", ret, behind);
	gpu_buffer_destroy(one, &large);
}

static void test_refusals(void)
{
	struct drm_fencepost_gpu_bo_address unknown = { .handle = 0xffff }, padded = { .handle = a.handle, .pad = 1 };
	struct drm_fencepost_gpu_bo_create create = { .size = BYTES, .flags = 2 };
	struct drm_fencepost_gpu_command both = gpu_fill(&a, 64, 0), nop = { .flags = FENCEPOST_GPU_VIRTUAL };
	int refused[5];

	both.flags = FENCEPOST_GPU_VIRTUAL;
	refused[0] = gpu_ioctl(one, DRM_IOCTL_FENCEPOST_GPU_BO_ADDRESS, &unknown);
	refused[1] = gpu_ioctl(one, DRM_IOCTL_FENCEPOST_GPU_BO_ADDRESS, &padded);
	refused[2] = gpu_ioctl(one, DRM_IOCTL_FENCEPOST_GPU_BO_CREATE, &create);
	refused[3] = gpu_submit(one, 0, &both, 1, -1);
	refused[4] = gpu_submit(one, 0, &nop, 1, -1);
	ktap_result(refused[0] == -ENOENT && refused[1] == -EINVAL && refused[2] == -EINVAL && refused[3] == -EINVAL &&
		    refused[4] == -EINVAL, "wrong requests are refused (%d %d %d %d %d)", refused[0], refused[1], refused[2],
		    refused[3], refused[4]);
}

int main(void)
{
	int ret;

	ktap_plan(16);
	one = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	two = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	ret = one < 0 ? one : two < 0 ? two : gpu_buffer_create(one, BYTES, &a);
	if (!ret)
		ret = gpu_buffer_create(two, BYTES, &b);
	if (!ktap_result(!ret, "two clients open the GPU, with a buffer each (%d)", ret))
		return ktap_finish();
	test_spaces();
	test_guesses();
	test_read_only();
	test_close();
	test_shared();
	test_large();
	test_refusals();
	return ktap_finish();
}
