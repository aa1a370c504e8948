"""ilsvrc_2012_mean.npy, which notebooks load for `Transformer.set_mean`: 3 x 256 x 256 float32, blue, green, red.

Made by: np.save(name, np.broadcast_to(np.float32([104.007, 116.669, 122.679])[:, None, None], (3, 256, 256))).
Not here: a class for it; scripts open the file.
"""

# DEVIATION D37: every pixel is its channel's mean; Caffe's file is the mean image, which has to be fetched.
