/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * PCI ids of Fencepost's functions, and where they are on bus 0: docs/pci.md.
 * For the drivers, the programs and the micro-guests. A test of the monitor
 * compares them with that page.
 */
#ifndef FENCEPOST_PCI_H
#define FENCEPOST_PCI_H

#define FENCEPOST_PCI_VENDOR		0xfe9c
#define FENCEPOST_PCI_DEVICE_GPU	0x0001
#define FENCEPOST_PCI_DEVICE_CAMERA	0x0002
#define FENCEPOST_PCI_DEVICE_DISPLAY	0x0003

#define FENCEPOST_PCI_SLOT_GPU		1
#define FENCEPOST_PCI_SLOT_CAMERA	2
#define FENCEPOST_PCI_SLOT_DISPLAY	3

/* The same, as Linux names the functions in sysfs. */
#define FENCEPOST_PCI_NAME_GPU		"0000:00:01.0"
#define FENCEPOST_PCI_NAME_CAMERA	"0000:00:02.0"
#define FENCEPOST_PCI_NAME_DISPLAY	"0000:00:03.0"

#endif /* FENCEPOST_PCI_H */
