/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FENCEPOST_RECOVERY_H
#define FENCEPOST_RECOVERY_H

/*
 * Whether the driver recovers from faults of its hardware. A build with FP_NO_RECOVERY=1 does not:
 * tests of the recovery must find that.
 */
#ifdef FP_NO_RECOVERY
#define FENCEPOST_RECOVERY	false
#else
#define FENCEPOST_RECOVERY	true
#endif

#endif
