/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What happens to a device and its driver: it is taken away, unbound, unloaded, reset, sent to sleep. Whether the
 * kernel complained. And tests, in KTAP, of all that with whatever user space may hold meanwhile.
 *
 * Functions return 0 (or what they say) on success and a negative errno on failure.
 */
#ifndef FENCEPOST_LIFE_H
#define FENCEPOST_LIFE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A device of this machine, and its driver. */
struct life_device {
	/* Its PCI address, such as "0000:00:01.0". */
	const char *slot;
	/* The name of its PCI driver, which is that of its module too. */
	const char *name;
};

/* Each of the first three ends the driver's hold of the device, and each has its way back in life_restore(). */
enum life_action {
	LIFE_REMOVE,	/* the PCI core removes the device, as if it were pulled out */
	LIFE_UNBIND,	/* the driver leaves the device */
	LIFE_UNLOAD,	/* rmmod; -EAGAIN if the module is in use */
	LIFE_RESET,	/* function-level reset with the driver bound */
	LIFE_SUSPEND,	/* all devices go to sleep and wake up */
	LIFE_ACTIONS,
	LIFE_REFUSED = LIFE_ACTIONS,	/* nothing happened: what was tried was refused */
};

/* Does it; returns when it is done. */
int life_act(const struct life_device *device, enum life_action action);

/* Whether the driver has lost its device by it. */
static inline int life_is_loss(enum life_action action)
{
	return action <= LIFE_UNLOAD;
}

/*
 * Unloads the module as soon as nobody uses it any more, within five seconds:
 * some of what is let go is freed in the background.
 */
int life_unload(const struct life_device *device);

/* Brings the device and its driver back after a loss. */
int life_restore(const struct life_device *device, enum life_action action);

/*
 * Counts what the kernel's log has new that only a fault leaves there: warnings, oopses, accesses that the IOMMU
 * refused. Prints each. The first call only starts.
 */
int life_complaints(void);

/* Something that user space may hold of a device. */
struct life_holding {
	const char *name;
	/* Whether the module cannot be unloaded while it is held. */
	bool uses_module;
	int (*take)(void);
	/* Looks at what is held after the action; LIFE_REFUSED when the module was in use. */
	int (*check)(enum life_action action);
};

/* What is tested: a device and what may be held of it. */
struct life_subject {
	const struct life_device *device;
	/* Comes first, and readies what the tests need. */
	int (*begin)(void);
	const struct life_holding *holdings;
	size_t holding_count;
	/* Lets go of everything that was taken, wholly or in part. */
	void (*let_go)(void);
	/* Whether the device does its work, for a new user. */
	int (*works)(void);
	/* Takes something for which the driver maps memory. NULL: it has mapped some since it is bound. */
	int (*map)(void);
};

/*
 * A whole test program, whose exit status it returns. Does every action with everything held, one after the other: what
 * is held must be as its check says, a loss must leave nothing mapped for the device (iommu_trace.h: what other devices
 * map, a holding must have forgotten), the device must come back and work, and the kernel must not complain.
 */
int life_test(const struct life_subject *subject);

/* Waits until a child sleeps in ioctl() or poll(), which is one that was forked to do that. */
int life_wait_asleep(pid_t child);

/* Hands a descriptor through a socket of AF_UNIX. */
int life_send_fd(int socket, int fd);
int life_receive_fd(int socket);

#endif /* FENCEPOST_LIFE_H */
