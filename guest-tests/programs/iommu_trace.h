/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How much of memory the kernel has mapped for devices in the IOMMU, by its tracepoints iommu:map and iommu:unmap. They
 * do not say for which device.
 */
#ifndef FENCEPOST_IOMMU_TRACE_H
#define FENCEPOST_IOMMU_TRACE_H

/* Starts to count, from 0. A negative errno; -ENOTSUP: there is no IOMMU in use. */
int iommu_trace_start(void);

/* Bytes mapped and not unmapped since the start. */
long iommu_trace_mapped(void);

/* Waits until no more than bytes are mapped: what is let go may be unmapped in the background. */
void iommu_trace_settle(long bytes);

/* Sets the count back to an earlier one: what was mapped and unmapped since then does not count. */
void iommu_trace_forget(long since);

#endif /* FENCEPOST_IOMMU_TRACE_H */
