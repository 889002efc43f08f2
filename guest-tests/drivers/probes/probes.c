// SPDX-License-Identifier: GPL-2.0
/*
 * The trace agent's probes in dma-buf, as lines of tracefs' kprobe_events, with what the kernel
 * that is built for says of its own structs: an assembler listing of this file has each line behind
 * "probe: ". docs/trace-agent.md says what they record, and why they look as they do.
 */
#include <linux/device.h>
#include <linux/dma-buf.h>
#include <linux/fs.h>
#include <linux/kobject.h>
#include <linux/stddef.h>

/*
 * A probe stands behind the call that each function begins with for ftrace (5 bytes, after the 4 of
 * ENDBR where there is one). The arguments are still in their registers there, and nothing of
 * ftrace's needs to be changed, which takes the kernel ten million instructions a probe.
 */
#define ENTRY (IS_ENABLED(CONFIG_X86_KERNEL_IBT) ? 9 : 5)

/* %cN in a line is the number of the operand. */
#define PROBE(line, ...) asm volatile("\n# probe: " line : : __VA_ARGS__)

void fencepost_probes(void);

void fencepost_probes(void)
{
	/*
	 * dma_buf_map_attachment(attach, direction); `mapped`: it is mapped already, and only
	 * handed out again.
	 */
	PROBE("p:fencepost/dmabuf_map dma_buf_map_attachment+%c0 attach=%%di:x64 inode=+%c5(+%c4(+%c3(+%c1(%%di)))):u64 "
	      "size=+%c2(+%c1(%%di)):u64 exporter=+0(+%c6(+%c1(%%di))):string device=+0(+%c8(+%c7(%%di))):string "
	      "mapped=+%c9(%%di):x64",
	      "i"(ENTRY), "i"(offsetof(struct dma_buf_attachment, dmabuf)), "i"(offsetof(struct dma_buf, size)),
	      "i"(offsetof(struct dma_buf, file)), "i"(offsetof(struct file, f_inode)),
	      "i"(offsetof(struct inode, i_ino)), "i"(offsetof(struct dma_buf, exp_name)),
	      "i"(offsetof(struct dma_buf_attachment, dev)), "i"(offsetof(struct device, kobj.name)),
	      "i"(offsetof(struct dma_buf_attachment, sgt)));
	/*
	 * dma_buf_file_release(inode, file): when dma_buf_release(dentry) is called, the inode is
	 * gone.
	 */
	PROBE("p:fencepost/dmabuf_release dma_buf_file_release+%c0 inode=+%c1(%%di):u64", "i"(ENTRY),
	      "i"(offsetof(struct inode, i_ino)));
}
