/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FENCEPOST_RECOVERY_H
#define FENCEPOST_RECOVERY_H

#include <linux/kconfig.h>

/*
 * Whether the driver has what recovers from a fault of its hardware. One built with FP_WITHOUT=WHAT
 * (several words in quotes) lacks it: tests of the recovery must find that.
 *
 * recovery:  time-outs, resets and repeated commands
 * seqno:     GPU: what is done is what the device says, and not one job an interrupt
 * progress:  GPU: a job that is slow and goes on is not one that hangs
 * retry:     GPU: the device is gone when several looks say so, and not one
 * hold:      GPU: a job's buffers are kept until it ends
 * waits:     GPU, camera: a device waits for another's work itself, and needs no CPU for that
 * reclaim:   GPU: memory for a buffer is waited for
 * report:    display: the log says of a frame that was black
 * count:     display: vertical blanks are counted by the device, and not by their interrupts
 */
#define FENCEPOST_HAS(what)	(!IS_ENABLED(FP_WITHOUT_##what))
#define FENCEPOST_RECOVERY	FENCEPOST_HAS(recovery)

#endif
