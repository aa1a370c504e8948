"""The machine behind `import caffe`, in the place of BVLC's _caffe.so; private."""
