"""A data set as LMDBs of Datums, one for each top of its data layer: image and label with the same keys.

In:   a Python data layer (a set's split, a prototxt, two folders).
Out:  DIR/TOP/data.mdb for every top, DIR/pairs.json; read back, verified, or fed to nets by Caffe's Data layers.
Not here: the Data layer (caffe), nets that use it (nets/lmdb_feed.py).
Source: keys as Caffe's convert_imageset writes them, `%08d_ID`.
"""
