// SPDX-License-Identifier: GPL-2.0
/*
 * Sleep, and function-level reset: the stream stops, and goes on afterwards with the buffers that
 * the device had. Frames of the meantime are not counted, and no buffer fails.
 */

#include <linux/pm.h>

#include "camera_drv.h"

/* Stops the device. Under cam->lock. */
void fpcam_pause(struct fpcam_device *cam)
{
	u32 next;

	lockdep_assert_held(&cam->lock);
	next = cam->first_sequence + fpcam_read(cam, FPCAM_SEQUENCE);
	fpcam_halt(cam);
	fpcam_drain(cam);
	/* A frame may have come between the two. */
	cam->first_sequence = max(next, cam->next_sequence);
}

/* Goes on with a device that may have lost all its registers. Under cam->lock. */
int fpcam_resume(struct fpcam_device *cam)
{
	int ret = 0;

	lockdep_assert_held(&cam->lock);
	if (fpcam_read(cam, FPCAM_ID) != FPCAM_ID_VALUE)
		ret = -ENODEV;
	fpcam_rings_program(cam);
	if (!ret)
		ret = fpcam_controls_restore(cam);
	fpcam_repost(cam);
	if (!ret && cam->streaming)
		ret = fpcam_stream(cam);
	if (ret) {
		dev_err(&cam->pdev->dev, "cannot resume: %d\n", ret);
		vb2_queue_error(&cam->queue);
		fpcam_sync_give_up(cam);
	}
	return ret;
}

static int fpcam_pm_suspend(struct device *dev)
{
	struct fpcam_device *cam = dev_get_drvdata(dev);

	mutex_lock(&cam->lock);
	fpcam_pause(cam);
	mutex_unlock(&cam->lock);
	return 0;
}

static int fpcam_pm_resume(struct device *dev)
{
	struct fpcam_device *cam = dev_get_drvdata(dev);
	int ret;

	mutex_lock(&cam->lock);
	ret = fpcam_resume(cam);
	mutex_unlock(&cam->lock);
	return ret;
}

DEFINE_SIMPLE_DEV_PM_OPS(fpcam_pm_ops, fpcam_pm_suspend, fpcam_pm_resume);

/* No ioctl is to find the device between the two, which the PCI core calls one after the other. */
static void fpcam_reset_prepare(struct pci_dev *pdev)
{
	struct fpcam_device *cam = pci_get_drvdata(pdev);

	mutex_lock(&cam->lock);
	fpcam_pause(cam);
}

static void fpcam_reset_done(struct pci_dev *pdev)
{
	struct fpcam_device *cam = pci_get_drvdata(pdev);

	fpcam_resume(cam);
	mutex_unlock(&cam->lock);
}

const struct pci_error_handlers fpcam_err_handlers = {
	.reset_prepare = fpcam_reset_prepare,
	.reset_done = fpcam_reset_done,
};
