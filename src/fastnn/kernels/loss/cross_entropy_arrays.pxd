"""The array API of cross entropy; the pointer API is in cross_entropy.pxd."""
