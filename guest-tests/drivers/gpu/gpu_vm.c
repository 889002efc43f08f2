// SPDX-License-Identifier: GPL-2.0
/*
 * Address spaces: a context of the device for each open file, and where its buffers are in it.
 *
 * A buffer has an address from its first handle on, and is mapped when a job first names it, or user
 * space asks for the address. A file's jobs may outlive it, and so does its address space then.
 */
#include <linux/idr.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "gpu_drv.h"

/* Address 0 and what is near it is never mapped. */
#define FPGPU_SPACE_FIRST	SZ_2M
#define FPGPU_SPACE_BYTES	BIT_ULL(39)
/* Behind each buffer there is a page that is not mapped. */
#define FPGPU_GUARD_BYTES	SZ_4K

int fpgpu_vms_init(struct fpgpu_device *gpu)
{
	mutex_init(&gpu->vm_lock);
	INIT_LIST_HEAD(&gpu->vms);
	ida_init(&gpu->contexts);
	gpu->context_table = dmam_alloc_coherent(gpu->drm.dev,
						 FPGPU_CONTEXTS * sizeof(*gpu->context_table),
						 &gpu->context_table_dma, GFP_KERNEL);
	if (!gpu->context_table)
		return -ENOMEM;
	fpgpu_vms_start(gpu);
	return 0;
}

/* Tells a device that was reset of the contexts; it has no translation left of before. */
void fpgpu_vms_start(struct fpgpu_device *gpu)
{
	fpgpu_write64(gpu->regs + FPGPU_CONTEXT_TABLE, gpu->context_table_dma);
	writel(FPGPU_CONTEXTS, gpu->regs + FPGPU_CONTEXT_COUNT);
}

/* For the driver's remove(): no table is left in memory of the device, which has stopped. */
void fpgpu_vms_unmap(struct fpgpu_device *gpu)
{
	struct fpgpu_vm *vm, *next;

	mutex_lock(&gpu->vm_lock);
	list_for_each_entry_safe(vm, next, &gpu->vms, link) {
		list_del_init(&vm->link);
		fpgpu_tables_free(vm);
	}
	mutex_unlock(&gpu->vm_lock);
}

int fpgpu_vm_init(struct fpgpu_vm *vm, struct fpgpu_device *gpu)
{
	int context = ida_alloc_range(&gpu->contexts, 1, FPGPU_CONTEXTS - 1, GFP_KERNEL);

	if (context < 0)
		return context == -ENOSPC ? -EBUSY : context;
	vm->gpu = gpu;
	vm->context = context;
	INIT_LIST_HEAD(&vm->link);
	INIT_LIST_HEAD(&vm->bindings);
	drm_mm_init(&vm->space, FPGPU_SPACE_FIRST, FPGPU_SPACE_BYTES - FPGPU_SPACE_FIRST);
	return 0;
}

/*
 * Waits until the device has forgotten the translations of an address space that has tables, so that
 * fpgpu_vms_unmap() is still to come, and the registers are there.
 */
static void fpgpu_vm_invalidate(struct fpgpu_vm *vm)
{
	lockdep_assert_held(&vm->gpu->vm_lock);
	/* writel() orders the tables before it; it has reached the device when the read comes back. */
	writel(vm->context, vm->gpu->regs + FPGPU_TLB_INVALIDATE);
	readl(vm->gpu->regs + FPGPU_ID);
}

/* No file and no job has it. */
void fpgpu_vm_fini(struct fpgpu_vm *vm)
{
	struct fpgpu_device *gpu = vm->gpu;

	mutex_lock(&gpu->vm_lock);
	if (vm->directory) {
		list_del_init(&vm->link);
		WRITE_ONCE(gpu->context_table[vm->context], 0);
		fpgpu_vm_invalidate(vm);
		fpgpu_tables_free(vm);
	}
	drm_mm_takedown(&vm->space);
	mutex_unlock(&gpu->vm_lock);
	ida_free(&gpu->contexts, vm->context);
}

static struct fpgpu_binding *fpgpu_binding_find(struct fpgpu_vm *vm, struct drm_gem_object *obj)
{
	struct fpgpu_binding *binding;

	lockdep_assert_held(&vm->gpu->vm_lock);
	list_for_each_entry(binding, &vm->bindings, link) {
		if (binding->obj == obj)
			return binding;
	}
	return NULL;
}

static struct fpgpu_binding *fpgpu_binding_create(struct fpgpu_vm *vm, struct drm_gem_object *obj)
{
	struct fpgpu_binding *binding = kzalloc(sizeof(*binding), GFP_KERNEL);
	u64 align = obj->size >= SZ_2M ? SZ_2M : SZ_4K;
	int ret;

	if (!binding)
		return ERR_PTR(-ENOMEM);
	ret = drm_mm_insert_node_generic(&vm->space, &binding->node, obj->size + FPGPU_GUARD_BYTES,
					 align, 0, DRM_MM_INSERT_BEST);
	if (ret) {
		kfree(binding);
		return ERR_PTR(ret);
	}
	binding->vm = vm;
	binding->obj = obj;
	list_add_tail(&binding->link, &vm->bindings);
	return binding;
}

/* A reference to the place of a buffer that the caller holds; it has one from then on. */
struct fpgpu_binding *fpgpu_bind(struct fpgpu_vm *vm, struct drm_gem_object *obj)
{
	struct fpgpu_binding *binding;

	mutex_lock(&vm->gpu->vm_lock);
	binding = fpgpu_binding_find(vm, obj);
	if (!binding)
		binding = fpgpu_binding_create(vm, obj);
	if (!IS_ERR(binding))
		binding->refs++;
	mutex_unlock(&vm->gpu->vm_lock);
	return binding;
}

static void fpgpu_binding_unmap(struct fpgpu_binding *binding)
{
	struct fpgpu_vm *vm = binding->vm;

	/* Without a directory the device is gone. */
	if (vm->directory) {
		fpgpu_tables_unmap(vm, binding->node.start,
				   binding->node.size - FPGPU_GUARD_BYTES);
		fpgpu_vm_invalidate(vm);
	}
	binding->mapped = false;
}

static void fpgpu_binding_put(struct fpgpu_binding *binding)
{
	if (--binding->refs)
		return;
	if (binding->mapped)
		fpgpu_binding_unmap(binding);
	list_del(&binding->link);
	drm_mm_remove_node(&binding->node);
	kfree(binding);
}

/* Before the caller lets go of the buffer. */
void fpgpu_unbind(struct fpgpu_binding *binding)
{
	struct fpgpu_device *gpu = binding->vm->gpu;

	mutex_lock(&gpu->vm_lock);
	fpgpu_binding_put(binding);
	mutex_unlock(&gpu->vm_lock);
}

/* As fpgpu_unbind(), for a handle. */
void fpgpu_unbind_object(struct fpgpu_vm *vm, struct drm_gem_object *obj)
{
	struct fpgpu_binding *binding;

	mutex_lock(&vm->gpu->vm_lock);
	binding = fpgpu_binding_find(vm, obj);
	if (!WARN_ON(!binding))
		fpgpu_binding_put(binding);
	mutex_unlock(&vm->gpu->vm_lock);
}

/* Tells the device of the address space, once. */
static int fpgpu_vm_begin(struct fpgpu_vm *vm)
{
	struct fpgpu_device *gpu = vm->gpu;
	dma_addr_t directory;

	if (vm->directory)
		return 0;
	directory = fpgpu_tables_start(vm);
	if (directory == DMA_MAPPING_ERROR)
		return -ENOMEM;
	list_add_tail(&vm->link, &gpu->vms);
	WRITE_ONCE(gpu->context_table[vm->context], cpu_to_le64(directory | FPGPU_ENTRY_PRESENT));
	return 0;
}

static int fpgpu_binding_map_segments(struct fpgpu_binding *binding)
{
	struct fpgpu_bo *bo = to_fpgpu_bo(binding->obj);
	struct sg_table *sgt = bo->base.base.sgt;
	u64 len = 0;
	struct scatterlist *sg;
	unsigned int i;
	int ret = 0;

	for_each_sgtable_dma_sg(sgt, sg, i) {
		u64 bytes = sg_dma_len(sg);

		/* Pages are whole, but for the end of the last one. */
		if (!IS_ALIGNED(sg_dma_address(sg) | len, SZ_4K) || bytes > binding->obj->size - len)
			return -EINVAL;
		ret = fpgpu_tables_map(binding->vm, binding->node.start + len, sg_dma_address(sg),
				       ALIGN(bytes, SZ_4K), !bo->read_only);
		if (ret)
			return ret;
		len += bytes;
	}
	binding->len = len;
	return len ? 0 : -EINVAL;
}

/*
 * Lets the device see a buffer by its address, once. Between drm_dev_enter() and drm_dev_exit().
 * -EINVAL: its segments are not made of pages; and what the pages cost.
 */
int fpgpu_binding_map(struct fpgpu_binding *binding)
{
	struct fpgpu_vm *vm = binding->vm;
	int ret = fencepost_bo_attach(to_fencepost_bo(binding->obj));

	if (ret)
		return ret;
	mutex_lock(&vm->gpu->vm_lock);
	if (!binding->mapped) {
		ret = fpgpu_vm_begin(vm);
		if (!ret)
			ret = fpgpu_binding_map_segments(binding);
		binding->mapped = true;
		if (ret)
			fpgpu_binding_unmap(binding);
	}
	mutex_unlock(&vm->gpu->vm_lock);
	return ret;
}
