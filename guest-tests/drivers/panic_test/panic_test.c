// SPDX-License-Identifier: GPL-2.0
/*
 * Has the kernel fail in the way that `case` names, by its own code paths, so that its own reports are on the console:
 * what the host makes of them is tested by ci/panic-tests.sh.
 */
#include <linux/bug.h>
#include <linux/delay.h>
#include <linux/hardirq.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#undef pr_fmt
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

static char *fppanic_case = "";
module_param_named(case, fppanic_case, charp, 0444);

/* Behind a variable, so that the compiler knows nothing of what is wrong with it. */
static unsigned long fppanic_address;
module_param_named(address, fppanic_address, ulong, 0444);

/* Longer than any allocation that KFENCE lets pass unguarded. */
#define FPPANIC_TRIES 4000

static noinline void fppanic_store(void)
{
	WRITE_ONCE(*(int *)fppanic_address, 1);
}

static noinline void fppanic_warn(void)
{
	WARN(1, "a warning of %s\n", KBUILD_MODNAME);
}

static noinline void fppanic_bug(void)
{
	BUG_ON(!fppanic_address);
}

static void fppanic_interrupt(struct irq_work *work)
{
	fppanic_store();
}

static DEFINE_IRQ_WORK(fppanic_work, fppanic_interrupt);

/* A task that waits for ever, and that the kernel's own watch finds. */
static int fppanic_wait(void *unused)
{
	while (!kthread_should_stop()) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule();
	}
	return 0;
}

static void fppanic_hang(void)
{
	struct task_struct *task = kthread_run(fppanic_wait, NULL, "fppanic-hung");

	if (!IS_ERR(task))
		ssleep(15);
}

/* Spins with preemption off, long enough for the kernel's own watch to find it. */
static void fppanic_spin(unsigned int seconds)
{
	preempt_disable();
	while (seconds--)
		mdelay(1000);
	preempt_enable();
}

/* Reads what was freed, of allocations of which KFENCE guards one now and then. */
static noinline void fppanic_use_after_free(void)
{
	for (unsigned int i = 0; i < FPPANIC_TRIES; i++) {
		char *memory = kmalloc(64, GFP_KERNEL);

		OPTIMIZER_HIDE_VAR(memory);
		kfree(memory);
		if (memory)
			(void)READ_ONCE(*memory);
		usleep_range(100, 200);
	}
}

static int __init fppanic_init(void)
{
	if (!strcmp(fppanic_case, "store"))
		fppanic_store();
	else if (!strcmp(fppanic_case, "warn"))
		fppanic_warn();
	else if (!strcmp(fppanic_case, "bug"))
		fppanic_bug();
	else if (!strcmp(fppanic_case, "interrupt"))
		irq_work_queue(&fppanic_work);
	else if (!strcmp(fppanic_case, "hang"))
		fppanic_hang();
	else if (!strcmp(fppanic_case, "spin"))
		fppanic_spin(6);
	else if (!strcmp(fppanic_case, "free"))
		fppanic_use_after_free();
	else
		return -ENOENT;
	return 0;
}

static void __exit fppanic_exit(void)
{
}

module_init(fppanic_init);
module_exit(fppanic_exit);

MODULE_DESCRIPTION("Has a kernel fail in the way that is asked for");
MODULE_AUTHOR("The Fencepost project");
MODULE_LICENSE("GPL");
