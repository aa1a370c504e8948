"""Caffe's protocol messages, in the module `caffe_pb2` as in Caffe itself."""
