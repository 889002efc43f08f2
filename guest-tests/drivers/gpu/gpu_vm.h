/* SPDX-License-Identifier: GPL-2.0 */
/* Address spaces: one for each open file, in which its buffers have addresses. docs/gpu.md, Contexts. */
#ifndef FENCEPOST_GPU_VM_H
#define FENCEPOST_GPU_VM_H

#include <linux/dma-mapping.h>
#include <linux/list.h>

#include <drm/drm_gem.h>
#include <drm/drm_mm.h>

struct fpgpu_device;
struct fpgpu_table;

struct fpgpu_vm {
	struct fpgpu_device *gpu;
	/* Its number in the device's table, which is its own. */
	u32 context;

	/* fpgpu_device.vm_lock guards those below. In fpgpu_device.vms while there are tables. */
	struct list_head link;
	struct drm_mm space;
	/* NULL until something is mapped, and after the device. */
	struct fpgpu_table *directory;
	struct list_head bindings;
};

/*
 * A buffer's place in an address space. The file's handles of it and its jobs that name it hold
 * it, each of which holds the buffer too. What is not held any more is not mapped either.
 */
struct fpgpu_binding {
	struct fpgpu_vm *vm;
	struct drm_gem_object *obj;
	struct drm_mm_node node;
	struct list_head link;
	unsigned int refs;
	bool mapped;
	/* Bytes that are there: less than the object's size for an odd dma-buf. */
	u64 len;
};

int fpgpu_vms_init(struct fpgpu_device *gpu);
void fpgpu_vms_start(struct fpgpu_device *gpu);
void fpgpu_vms_unmap(struct fpgpu_device *gpu);

int fpgpu_vm_init(struct fpgpu_vm *vm, struct fpgpu_device *gpu);
void fpgpu_vm_fini(struct fpgpu_vm *vm);

struct fpgpu_binding *fpgpu_bind(struct fpgpu_vm *vm, struct drm_gem_object *obj);
void fpgpu_unbind(struct fpgpu_binding *binding);
void fpgpu_unbind_object(struct fpgpu_vm *vm, struct drm_gem_object *obj);
int fpgpu_binding_map(struct fpgpu_binding *binding);

/* gpu_table.c: all with vm_lock held. */
int fpgpu_tables_map(struct fpgpu_vm *vm, u64 address, u64 iova, u64 bytes, bool writable);
void fpgpu_tables_unmap(struct fpgpu_vm *vm, u64 address, u64 bytes);
void fpgpu_tables_free(struct fpgpu_vm *vm);
dma_addr_t fpgpu_tables_start(struct fpgpu_vm *vm);

#endif /* FENCEPOST_GPU_VM_H */
