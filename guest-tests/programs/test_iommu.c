// SPDX-License-Identifier: GPL-2.0
/*
 * The IOMMU as the stock driver drives it, in KTAP: every function in a translated domain of its own, and a DMA
 * outside every mapping that is refused, recorded, reported by interrupt and in the kernel's log, while the device
 * reports an error and lives on.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "display.h"
#include "gpu_client.h"
#include "kernel_log.h"
#include "ktap.h"

#define FUNCTIONS 3
#define VTD "/sys/class/iommu/dmar0"
/* Two addresses that no allocator hands out: they are looked for from the top of 32 and of 48 bits down. */
#define WRITTEN 0x12dead0000ULL
#define READ 0x13beef0000ULL
#define PATTERN 0x11223344u

static int gpu;
static struct gpu_buffer buffer;

static bool read_line(const char *path, char *line, size_t size)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : read(file, line, size - 1);

	if (file >= 0)
		close(file);
	line[length > 0 ? length : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return length > 0;
}

/* The IOMMU group of device `slot` on bus 0, or -1. */
static long group_of(int slot)
{
	char path[96], target[256];
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/0000:00:%02x.0/iommu_group", slot);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return -1;
	target[length] = '\0';
	return strtol(strrchr(target, '/') ? strrchr(target, '/') + 1 : target, NULL, 10);
}

static void test_domains(void)
{
	long groups[FUNCTIONS];
	bool good = true;

	for (int i = 0; i < FUNCTIONS; i++) {
		char path[96], type[32] = "";

		groups[i] = group_of(i + 1);
		snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%ld/type", groups[i]);
		/* "DMA" or, with lazy invalidation, "DMA-FQ": translated. */
		good = good && groups[i] >= 0 && read_line(path, type, sizeof(type)) && !strncmp(type, "DMA", 3);
		for (int j = 0; j < i; j++)
			good = good && groups[i] != groups[j];
		ktap_note("00:%02x.0 is in group %ld, type %s", i + 1, groups[i], type);
	}
	ktap_result(good, "each function has a translated domain of its own");
}

/* VT-d, or else virtio's. */
static bool is_vtd(void)
{
	return access(VTD, F_OK) == 0;
}

/* Interrupts by which the IOMMU tells of faults: a line of /proc/interrupts. Virtio's is called by its device and queue. */
static long fault_interrupts(void)
{
	const char *name = is_vtd() ? "dmar0" : "-event";
	char line[512];
	long count = -1;
	FILE *file = fopen("/proc/interrupts", "re");

	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, name))
			count = strtol(strchr(line, ':') + 1, NULL, 10);
	if (file)
		fclose(file);
	return count;
}

static struct drm_fencepost_gpu_command semaphore(uint32_t opcode, uint64_t address)
{
	return (struct drm_fencepost_gpu_command) {
		.opcode = opcode,
		.flags = FENCEPOST_GPU_RAW_ADDRESS,
		.dst.offset = address,
		.value = 1,
	};
}

static bool gpu_works(void)
{
	struct drm_fencepost_gpu_command fill = {
		.opcode = FENCEPOST_GPU_CMD_FILL,
		.dst.handle = buffer.handle,
		.width = buffer.size,
		.height = 1,
		.value = PATTERN,
	};
	int ret;

	memset(buffer.map, 0, buffer.size);
	ret = gpu_run(gpu, 0, &fill);
	for (size_t i = 0; !ret && i < buffer.size; i += sizeof(uint32_t))
		if (*(volatile uint32_t *)(buffer.map + i) != PATTERN)
			ret = -EIO;
	return !ret;
}

/* Whether the kernel's log has the refused access, with device, address and direction. */
static bool log_names(uint64_t address, const char *kind, const char *reason)
{
	char where[128];

	if (is_vtd()) {
		snprintf(where, sizeof(where), "Request device [00:01.0] fault addr 0x%" PRIx64 " [fault reason %s]",
			 address, reason);
		return kernel_log_says(kind, where);
	}
	/* An endpoint is called by its requester id. */
	snprintf(where, sizeof(where), "page fault from EP 8 at 0x%" PRIx64 " [%c]", address,
		 kind[strlen("DMA ")]);
	return kernel_log_says("virtio_iommu ", where);
}

/* One access of the GPU to an address that is not mapped, and everything that must come of it. */
static void test_refused(uint32_t opcode, uint64_t address, const char *kind, const char *reason)
{
	struct drm_fencepost_gpu_command command = semaphore(opcode, address);
	struct drm_fencepost_gpu_ring_info info = { .ring = 0 };
	long before = fault_interrupts();
	int ret;

	ret = gpu_run(gpu, 0, &command);
	ktap_result(ret == -EIO, "%s: its job fails (%d)", kind, ret);
	ret = gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_RING_INFO, &info);
	ktap_result(!ret && info.last_error == FENCEPOST_GPU_ERROR_DMA && info.last_error_address == address,
		    "%s: the device names the address (%#llx)", kind,
		    (unsigned long long)info.last_error_address);
	ktap_result(log_names(address, kind, reason), "%s: the kernel's log names device, address and reason", kind);
	ktap_result(before >= 0 && fault_interrupts() > before, "%s: by an interrupt of the unit (%ld before)",
		    kind, before);
	ktap_result(gpu_works(), "%s: the device lives on", kind);
}

int main(void)
{
	int ret, logged;

	ktap_plan(12);
	logged = kernel_log_open();
	gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	ret = gpu < 0 ? gpu : gpu_buffer_create(gpu, 16384, &buffer);
	if (!ktap_result(!ret && !logged && gpu_works(), "the GPU works in its domain (%d)", ret))
		return ktap_finish();
	test_domains();
	test_refused(FENCEPOST_GPU_CMD_SEM_SIGNAL, WRITTEN, "DMA Write", "0x05");
	test_refused(FENCEPOST_GPU_CMD_SEM_WAIT, READ, "DMA Read", "0x06");
	return ktap_finish();
}
