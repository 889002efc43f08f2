// SPDX-License-Identifier: GPL-2.0
/*
 * A driver for the PCI device edu (docs/edu.md of Fencepost, docs/specs/edu.rst of QEMU): a number written to
 * /dev/factorial is read back as its factorial, which the device computes.
 */
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/uaccess.h>

#define FACTORIAL 0x08
#define STATUS 0x20
#define STATUS_INTERRUPT 0x80
#define IRQ_STATUS 0x24
#define IRQ_ACK 0x64
#define PATIENCE msecs_to_jiffies(100)

struct factorial {
	struct miscdevice misc;
	void __iomem *registers;
	struct completion done;
	/* One job at a time: the device takes no more. */
	struct mutex lock;
	u32 result;
};

static irqreturn_t factorial_interrupt(int irq, void *data)
{
	struct factorial *self = data;
	u32 reasons = readl(self->registers + IRQ_STATUS);

	if (!reasons)
		return IRQ_NONE;
	writel(reasons, self->registers + IRQ_ACK);
	complete(&self->done);
	return IRQ_HANDLED;
}

static ssize_t factorial_write(struct file *file, const char __user *from, size_t count, loff_t *at)
{
	struct factorial *self = container_of(file->private_data, struct factorial, misc);
	u32 number;
	int ret = kstrtou32_from_user(from, count, 0, &number);

	if (ret)
		return ret;
	/* The device has 32 bits, and 13! has more. */
	if (number > 12)
		return -ERANGE;
	mutex_lock(&self->lock);
	reinit_completion(&self->done);
	writel(number, self->registers + FACTORIAL);
	if (wait_for_completion_timeout(&self->done, PATIENCE)) {
		self->result = readl(self->registers + FACTORIAL);
	} else {
		dev_err(self->misc.parent, "the device does not answer\n");
		ret = -ETIMEDOUT;
	}
	mutex_unlock(&self->lock);
	return ret ?: count;
}

static ssize_t factorial_read(struct file *file, char __user *to, size_t count, loff_t *at)
{
	struct factorial *self = container_of(file->private_data, struct factorial, misc);
	char text[16];
	int length;

	mutex_lock(&self->lock);
	length = scnprintf(text, sizeof(text), "%u\n", self->result);
	mutex_unlock(&self->lock);
	return simple_read_from_buffer(to, count, at, text, length);
}

static const struct file_operations factorial_operations = {
	.owner = THIS_MODULE,
	.read = factorial_read,
	.write = factorial_write,
	.llseek = default_llseek,
};

static void factorial_unregister(void *data)
{
	struct factorial *self = data;

	misc_deregister(&self->misc);
	writel(0, self->registers + STATUS);
}

static void factorial_free_vectors(void *data)
{
	pci_free_irq_vectors(data);
}

static int factorial_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct factorial *self = devm_kzalloc(&pdev->dev, sizeof(*self), GFP_KERNEL);
	int ret;

	if (!self)
		return -ENOMEM;
	mutex_init(&self->lock);
	init_completion(&self->done);
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	ret = pcim_iomap_regions(pdev, BIT(0), KBUILD_MODNAME);
	if (ret)
		return ret;
	self->registers = pcim_iomap_table(pdev)[0];
	pci_set_master(pdev);
	ret = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI);
	if (ret < 0)
		return ret;
	ret = devm_add_action_or_reset(&pdev->dev, factorial_free_vectors, pdev);
	if (ret)
		return ret;
	ret = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, 0), factorial_interrupt, 0, KBUILD_MODNAME, self);
	if (ret)
		return ret;
	writel(STATUS_INTERRUPT, self->registers + STATUS);
	self->misc = (struct miscdevice) {
		.minor = MISC_DYNAMIC_MINOR,
		.name = "factorial",
		.fops = &factorial_operations,
		.parent = &pdev->dev,
	};
	ret = misc_register(&self->misc);
	if (ret)
		return ret;
	return devm_add_action_or_reset(&pdev->dev, factorial_unregister, self);
}

static const struct pci_device_id factorial_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{ }
};
MODULE_DEVICE_TABLE(pci, factorial_ids);

static struct pci_driver factorial_driver = {
	.name = KBUILD_MODNAME,
	.id_table = factorial_ids,
	.probe = factorial_probe,
};
module_pci_driver(factorial_driver);

MODULE_DESCRIPTION("Factorials by the PCI device edu");
MODULE_LICENSE("GPL");
