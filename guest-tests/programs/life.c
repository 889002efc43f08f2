// SPDX-License-Identifier: GPL-2.0
/* What happens to a device and its driver: see life.h. */
#include "life.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "iommu_trace.h"
#include "ktap.h"
#include "module.h"

#define TRIES 500
#define PAUSE_US 10000

static const char *const life_names[LIFE_ACTIONS] = {
	[LIFE_REMOVE] = "removal",
	[LIFE_UNBIND] = "unbinding",
	[LIFE_UNLOAD] = "rmmod",
	[LIFE_RESET] = "function-level reset",
	[LIFE_SUSPEND] = "sleep",
};

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static int write_device(const struct life_device *device, const char *file)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", device->slot, file);
	return write_file(path, "1");
}

static int write_driver(const struct life_device *device, const char *file)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/%s", device->name, file);
	return write_file(path, device->slot);
}

/* Suspend to idle, up to where all devices sleep, and back at once. */
static int suspend(void)
{
	int ret = write_file("/sys/module/suspend/parameters/pm_test_delay", "0");

	if (!ret)
		ret = write_file("/sys/power/pm_test", "platform");
	if (!ret)
		ret = write_file("/sys/power/state", "freeze");
	return ret;
}

int life_act(const struct life_device *device, enum life_action action)
{
	switch (action) {
	case LIFE_REMOVE:
		return write_device(device, "remove");
	case LIFE_UNBIND:
		return write_driver(device, "unbind");
	case LIFE_UNLOAD:
		return module_unload(device->name);
	case LIFE_RESET:
		return write_device(device, "reset");
	case LIFE_SUSPEND:
		return suspend();
	default:
		return -EINVAL;
	}
}

int life_unload(const struct life_device *device)
{
	int ret;

	for (int i = 0; i < TRIES; i++) {
		ret = module_unload(device->name);
		if (ret != -EAGAIN)
			break;
		usleep(PAUSE_US);
	}
	return ret;
}

int life_restore(const struct life_device *device, enum life_action action)
{
	switch (action) {
	case LIFE_REMOVE:
		return write_file("/sys/bus/pci/rescan", "1");
	case LIFE_UNBIND:
		return write_driver(device, "bind");
	case LIFE_UNLOAD:
		return module_load(device->name, "");
	default:
		return 0;
	}
}

static int is_complaint(const char *record)
{
	static const char *const signs[] = {
		"WARNING:", "BUG:", "Oops", "general protection", "refcount_t:", "Bad page", "hung task", "blocked for more",
		"DMAR: [DMA", "fault addr", "hangs, reset", "does not start again", "list_add corruption", "list_del corruption",
		/* The display's driver, and DRM's helpers about it. */
		"Errors 0x", "Commit refused", "Cannot s", "_done timed out", "commit wait timed out",
	};

	/*
	 * A debug kernel's check of DMA knows one device for a page; videobuf2's exporter maps a shared
	 * buffer for each importer, beside the camera's own mapping.
	 */
	if (strstr(record, "add_dma_entry"))
		return 0;
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (strstr(record, signs[i]))
			return 1;
	return 0;
}

int life_complaints(void)
{
	static int log = -1;
	static char record[8192];
	int found = 0;
	ssize_t length;

	if (log < 0) {
		log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (log < 0 || lseek(log, 0, SEEK_END) < 0) {
			ktap_note("the kernel's log cannot be read: %s", strerror(errno));
			return 1;
		}
		return 0;
	}
	/* EPIPE: records were overwritten before they were read; the next one follows. */
	while ((length = read(log, record, sizeof(record) - 1)) > 0 || errno == EPIPE) {
		if (length <= 0)
			continue;
		record[length] = '\0';
		if (is_complaint(record)) {
			ktap_note("kernel: %.*s", (int)strcspn(record, "\n"), record);
			found++;
		}
	}
	return found;
}

/* Unloading is refused while something is held, and then what is held is as it was. */
static int act(const struct life_subject *subject, const struct life_holding *holding, enum life_action action,
	       enum life_action *happened)
{
	int ret;

	*happened = action;
	if (action != LIFE_UNLOAD)
		return life_act(subject->device, action);
	if (!holding->uses_module)
		return life_unload(subject->device);
	ret = life_act(subject->device, LIFE_UNLOAD);
	*happened = LIFE_REFUSED;
	return ret == -EAGAIN ? 0 : ret ? ret : -EEXIST;
}

static void test_one(const struct life_subject *subject, const struct life_holding *holding, enum life_action action)
{
	int taken = holding->take(), done = 0, held = 0, back = 0, works = 0, complaints;
	enum life_action happened;
	long mapped = 0;

	if (!taken) {
		done = act(subject, holding, action, &happened);
		if (life_is_loss(happened))
			mapped = iommu_trace_mapped();
		held = holding->check ? holding->check(happened) : 0;
	}
	subject->let_go();
	if (!taken) {
		if (action == LIFE_UNLOAD && holding->uses_module)
			back = life_unload(subject->device);
		if (!back)
			back = life_restore(subject->device, action);
		works = subject->works();
	}
	complaints = life_complaints();
	if (!ktap_result(!taken && !done && !held && !back && !works && !mapped && !complaints, "%s, holding %s", life_names[action],
			 holding->name))
		ktap_note("taken %d, done %d, what is held %d, back %d, works %d, %ld bytes mapped, %d complaints", taken, done,
			  held, back, works, mapped, complaints);
}

/* Counts what is mapped from when the driver has nothing, and finds that it maps something. */
static void start_counting(const struct life_subject *subject)
{
	int ret = life_act(subject->device, LIFE_UNBIND);
	int counts = iommu_trace_start();

	if (!ret)
		ret = life_restore(subject->device, LIFE_UNBIND);
	if (!ret && subject->map)
		ret = subject->map();
	/* test_iommu finds out whether there should be one. */
	if (counts == -ENOTSUP)
		ktap_result(!ret, "there is no IOMMU, and so nothing to be left mapped (%d)", ret);
	else
		ktap_result(!ret && !counts && iommu_trace_mapped() > 0, "what the driver maps is seen (%d %d)", ret, counts);
	subject->let_go();
}

int life_test(const struct life_subject *subject)
{
	int ret;

	ktap_plan(2 + LIFE_ACTIONS * subject->holding_count);
	ret = life_complaints();
	if (!ret)
		ret = subject->begin();
	if (!ktap_result(!ret, "there is a device to hold things of (%d)", ret))
		return ktap_finish();
	start_counting(subject);
	for (int action = 0; action < LIFE_ACTIONS; action++)
		for (size_t i = 0; i < subject->holding_count; i++)
			test_one(subject, &subject->holdings[i], action);
	return ktap_finish();
}

int life_wait_asleep(pid_t child)
{
	char path[64], call[256];

	snprintf(path, sizeof(path), "/proc/%d/syscall", child);
	for (int i = 0; i < TRIES; i++) {
		FILE *file = fopen(path, "r");
		int number = -1;

		if (!file)
			return -ESRCH;
		/* "running", or the number of the call it sleeps in, or -1 for a page fault, or nothing for a zombie. */
		if (fgets(call, sizeof(call), file))
			sscanf(call, "%d", &number);
		fclose(file);
		if (number == SYS_ioctl || number == SYS_poll)
			return 0;
		usleep(PAUSE_US);
	}
	return -ETIMEDOUT;
}

int life_send_fd(int socket, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	return sendmsg(socket, &message, 0) == 1 ? 0 : -errno;
}

int life_receive_fd(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	int fd;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1)
		return -EPIPE;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(header), sizeof(int));
	return fd;
}
