"""Kernels: the shape arithmetic and the array code of the depthwise convolution. They know no tape."""
