/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the two kernels that the driver is for: Debian's 6.12, and Debian's 6.1, for
 * which Kbuild defines FENCEPOST_LINUX_6_1.
 */
#ifndef FENCEPOST_GPU_COMPAT_H
#define FENCEPOST_GPU_COMPAT_H

#include <linux/pci.h>

#include <drm/drm_file.h>
#include <drm/gpu_scheduler.h>

#include "gpu_drv.h"

#ifdef FENCEPOST_LINUX_6_1

#define FPGPU_COMPAT_PRIORITY_LOW	DRM_SCHED_PRIORITY_MIN

/* What later kernels print by themselves; this one numbers its clients in no way. */
static inline void fpgpu_compat_show_fdinfo(struct seq_file *seq, struct file *f)
{
	struct drm_printer p = drm_seq_file_printer(seq);
	struct drm_file *file = f->private_data;
	struct fpgpu_file *file_priv = file->driver_priv;

	drm_printf(&p, "drm-driver:\t%s\n", FENCEPOST_GPU_DRIVER_NAME);
	drm_printf(&p, "drm-client-id:\t%llu\n", file_priv->number);
	drm_printf(&p, "drm-pdev:\t%s\n", dev_name(file->minor->dev->dev));
	fpgpu_show_usage(&p, file);
}

#define FPGPU_COMPAT_SHOW_USAGE

static inline void __iomem *fpgpu_compat_iomap(struct pci_dev *pdev, int bar, const char *name)
{
	int ret = pcim_iomap_regions(pdev, BIT(bar), name);

	return ret ? IOMEM_ERR_PTR(ret) : pcim_iomap_table(pdev)[bar];
}

/*
 * @packets: credits of the ring; @job_packets: of its largest job. This kernel takes one for a job.
 */
static inline int fpgpu_compat_sched_init(struct drm_gpu_scheduler *sched,
					  const struct drm_sched_backend_ops *ops,
					  unsigned int packets, unsigned int job_packets,
					  long timeout, struct workqueue_struct *timeout_wq,
					  const char *name, struct device *dev)
{
	const struct drm_sched_init_args args = {
		.ops = ops,
		.credit_limit = packets / job_packets,
		.timeout = timeout,
		.timeout_wq = timeout_wq,
		.name = name,
		.dev = dev,
	};

	return drm_sched_init(sched, &args);
}

static inline int fpgpu_compat_job_init(struct drm_sched_job *job, struct drm_sched_entity *entity,
					void *owner, struct drm_file *file)
{
	return drm_sched_job_init(job, entity, owner);
}

/* How many packets it is: all jobs are one of this kernel's. */
static inline void fpgpu_compat_job_size(struct drm_sched_job *job, unsigned int packets)
{
}

static inline void fpgpu_compat_sched_start(struct drm_gpu_scheduler *sched)
{
	drm_sched_start(sched, true);
}

#else

#define FPGPU_COMPAT_PRIORITY_LOW	DRM_SCHED_PRIORITY_LOW

#define fpgpu_compat_show_fdinfo	drm_show_fdinfo
#define FPGPU_COMPAT_SHOW_USAGE		.show_fdinfo = fpgpu_show_usage,

static inline void __iomem *fpgpu_compat_iomap(struct pci_dev *pdev, int bar, const char *name)
{
	return pcim_iomap_region(pdev, bar, name);
}

static inline int fpgpu_compat_sched_init(struct drm_gpu_scheduler *sched,
					  const struct drm_sched_backend_ops *ops,
					  unsigned int packets, unsigned int job_packets,
					  long timeout, struct workqueue_struct *timeout_wq,
					  const char *name, struct device *dev)
{
	const struct drm_sched_init_args args = {
		.ops = ops,
		.num_rqs = DRM_SCHED_PRIORITY_COUNT,
		.credit_limit = packets,
		.timeout = timeout,
		.timeout_wq = timeout_wq,
		.name = name,
		.dev = dev,
	};

	return drm_sched_init(sched, &args);
}

static inline int fpgpu_compat_job_init(struct drm_sched_job *job, struct drm_sched_entity *entity,
					void *owner, struct drm_file *file)
{
	return drm_sched_job_init(job, entity, 1, owner, file->client_id);
}

/* Of a job that is not armed: a credit is a packet. */
static inline void fpgpu_compat_job_size(struct drm_sched_job *job, unsigned int packets)
{
	job->credits = packets;
}

static inline void fpgpu_compat_sched_start(struct drm_gpu_scheduler *sched)
{
	drm_sched_start(sched);
}

#endif

#endif /* FENCEPOST_GPU_COMPAT_H */
