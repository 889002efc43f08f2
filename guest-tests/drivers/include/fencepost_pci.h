/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI ids of Fencepost's functions: docs/pci.md. For the drivers and the
 * micro-guests; tests of the ids themselves restate them.
 */
#ifndef FENCEPOST_PCI_H
#define FENCEPOST_PCI_H

#define FENCEPOST_PCI_VENDOR		0xfe9c
#define FENCEPOST_PCI_DEVICE_GPU	0x0001
#define FENCEPOST_PCI_DEVICE_CAMERA	0x0002
#define FENCEPOST_PCI_DEVICE_DISPLAY	0x0003

#endif /* FENCEPOST_PCI_H */
