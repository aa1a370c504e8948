"""Scripts as they were written around 2015, for Python 2 and the NumPy of the time."""

LANGUAGE = '''#!/usr/bin/env python
# -*- coding: latin-1 -*-
"""All of the language that changed."""
import os, sys
os.environ['GLOG_minloglevel'] = '2'
import caffe
import numpy as np
import cPickle as pickle, StringIO, Queue, urllib, urllib2, ConfigParser, __builtin__
from itertools import izip
import string
import helper, tabs
from scipy.misc import imread, imresize, imsave

print >>sys.stderr, 'to stderr', 1
print 'a', 'b',
print 'c'
print "%s %d" % ('x', 3), `4`, '\xe9' == u'\xe9'
assert 7 / 2 == 3 and 7 / 2. == 3.5 and -7 / 2 == -4 and True / 2 == 0
x = 7; x /= 2
assert x == 3
a = np.array([7, 8]); a /= 2
assert a.tolist() == [3, 4] and (np.array([7]) / 2)[0] == 3 and (np.array([7.]) / 2)[0] == 3.5
f = np.array([1., 2.]); g = f; f /= 4
assert g is f and g[0] == .25 and (f[1:] / 2)[0] == .25
assert (10 / np.array([3, 4])).tolist() == [3, 2] and np.int64(7) / 2 == 3 and np.float32(7) / 2 == 3.5
d = {'a': 1}
assert d.has_key('a') and [k for k, v in d.iteritems()] == ['a'] and d.keys()[0] == 'a' and d.values()[0] == 1
assert map(lambda (a, b): a + b, [(1, 2)]) == [3] and range(3) + [3] == [0, 1, 2, 3]
assert map(None, 'ab', 'c') == [('a', 'c'), ('b', None)] and zip('ab', 'cd')[0] == ('a', 'c')
assert filter(None, 'ab') == 'ab' and filter(lambda x: x > 1, (1, 2)) == (2,)
assert list(izip('a', xrange(3))) == [('a', 0)]
assert 0777 == 511 and 10L == 10 and 3 <> 4 and reduce(lambda a, b: a + b, [1, 2]) == 3
try:
    raise ValueError, "bad"
except (ValueError, TypeError), e:
    print e
def unpack(a, (b, c)):
    return a + b / c
assert unpack(1, (7, 2)) == 4
exec "y = 7 / 2; print 'in exec', y"
names = {}
exec "z = 1" in names
assert y == 3 and names['z'] == 1
assert isinstance(u'x', basestring) and isinstance(3, (int, long)) and unicode(3) == '3' and unichr(65) == 'A'
assert string.letters[:3] == 'abc' and string.join(['a', 'b'], '-') == 'a-b' and sys.maxint > 0
assert urllib.quote('a b') == urllib2.quote('a b') == 'a%20b' and __builtin__.xrange is xrange
assert np.float is float and np.zeros(2, dtype=np.int).dtype.kind == 'i' and np.product([2, 3]) == 6
assert np.fromstring(np.arange(3).tostring(), dtype=np.int64).tolist() == [0, 1, 2]
assert round(0.5) == 1.0 and round(2.675, 2) == 2.67 and sorted([1, 3], cmp=lambda a, b: cmp(b, a)) == [3, 1]
assert helper.half(5) == 2 and tabs.t(0) == 2 and raw_input() == 'typed' and input() == [1, 2]
s = StringIO.StringIO(); s.write('x'); assert s.getvalue() == 'x'
assert StringIO.StringIO(b'\\x00').read() == b'\\x00'
pickle.dump({'a': np.arange(2)}, open('x.pkl', 'w'))
assert pickle.load(open('x.pkl', 'r'))['a'].tolist() == [0, 1]
imsave('x.png', np.arange(24, dtype=np.uint8).reshape(2, 4, 3))
assert imread('x.png').tolist() == np.arange(24).reshape(2, 4, 3).tolist()
assert imresize(imread('x.png'), 50).shape == (1, 2, 3) and imresize(np.eye(4), (2, 8)).shape == (2, 8)
assert iter([1, 2]).next() == 1
class Never(object):
    __metaclass__ = type
    def __nonzero__(self): return False
assert not Never()
execfile('more.py')
print executed, __name__, os.path.isabs(__file__), sys.argv, os.path.basename(sys.path[0])
def inverse(a):
    return 1 / a  # the division
inverse(0)
'''

HELPER = "def half(n):\n    return n / 2\nprint 'helper', __name__\n"
TABS = "def t(x):\n    if x:\n\treturn 1\n    return 2\n"
MORE = "executed = 5 / 2\n"

# -- a project as FCN's: a net, its layers in a module beside it, three scripts ------------------

NET = '''
name: "toy"
layer { name: "data" type: "Python" top: "data" top: "label"
        python_param { module: "toy_layers" layer: "ToyData" param_str: "{\\'seed\\': 3, \\'shape\\': (6, 8)}" } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
        convolution_param { num_output: 2 kernel_size: 2 stride: 2 } }
layer { name: "upscore" type: "Deconvolution" bottom: "conv" top: "score" param { lr_mult: 0 }
        convolution_param { num_output: 2 bias_term: false kernel_size: 2 stride: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss"
        loss_param { ignore_label: 255 normalize: false } }
'''

SOLVER = '''
train_net: "net.prototxt" test_net: "net.prototxt" test_iter: 1 test_interval: 999999 display: 0 lr_policy: "fixed"
base_lr: 0.05 momentum: 0.9 max_iter: 100 snapshot_prefix: "toy" test_initialization: false random_seed: 1
'''

LAYERS = '''
import caffe
import numpy as np

class ToyData(caffe.Layer):
    """Brighter pixels are class 1; label in reshape, as the release does."""

    def setup(self, bottom, top):
        params = eval(self.param_str)
        self.random = np.random.RandomState(params['seed'])
        self.shape = params['shape']
        if len(top) <> 2:
            raise Exception, "Need to define two tops: data and label."

    def reshape(self, bottom, top):
        h, w = self.shape
        blocks = self.random.randint(0, 2, (h / 2, w / 2)).repeat(2, 0).repeat(2, 1)
        self.data = np.array([blocks * 2 - 1] * 3, dtype=np.float)
        self.label = blocks[np.newaxis, ...]
        top[0].reshape(1, *self.data.shape)
        top[1].reshape(1, *self.label.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.data
        top[1].data[...] = self.label

    def backward(self, top, propagate_down, bottom):
        pass
'''

SURGERY = '''
import numpy as np

def upsample_filt(size):
    factor = (size + 1) / 2
    center = factor - 1 if size % 2 == 1 else factor - 0.5
    og = np.ogrid[:size, :size]
    return (1 - abs(og[0] - center) / factor) * (1 - abs(og[1] - center) / factor)

def interp(net, layers):
    for l in layers:
        m, k, h, w = net.params[l][0].data.shape
        if m <> k and k <> 1:
            print 'input + output channels need to be the same or |output| == 1'
            raise
        net.params[l][0].data[range(m), range(k), :, :] = upsample_filt(h)
'''

SCORE = '''
import numpy as np
from datetime import datetime
import sys

def fast_hist(a, b, n):
    k = (a >= 0) & (a < n)
    return np.bincount(n * a[k].astype(int) + b[k], minlength=n**2).reshape(n, n)

def seg_tests(solver, count, layer='score', gt='label'):
    print '>>>', 'Iteration', solver.iter, 'Begin seg tests',
    print
    net = solver.test_nets[0]
    net.share_with(solver.net)
    hist = np.zeros((2, 2))
    for idx in xrange(count):
        net.forward()
        hist += fast_hist(net.blobs[gt].data[0].flatten(), net.blobs[layer].data[0].argmax(0).flatten(), 2)
    iu = np.diag(hist) / (hist.sum(1) + hist.sum(0) - np.diag(hist))
    print >>sys.stderr, 'mean IU', np.nanmean(iu)
    return hist
'''

SOLVE = '''
import sys, os
os.environ['GLOG_minloglevel'] = '2'
sys.path.insert(0, 'python')
import caffe
import surgery, score
import cPickle

caffe.set_mode_cpu()
solver = caffe.SGDSolver('solver.prototxt')
interp_layers = [k for k in solver.net.params.keys() if 'up' in k]
surgery.interp(solver.net, interp_layers)
hists = []
for _ in xrange(3):
    solver.step(30 / 2)
    hists.append(score.seg_tests(solver, 5))
solver.net.save('toy.caffemodel')
cPickle.dump(hists, open('hists.pkl', 'wb'), -1)
'''

INFER = '''
import numpy as np
from PIL import Image
import os, sys
import caffe

im = Image.open(sys.argv[1])
in_ = np.array(im, dtype=np.float32)[:, :, ::-1] / 127 - 1
net = caffe.Net('deploy.prototxt', 'toy.caffemodel', caffe.TEST)
net.blobs['data'].reshape(1, *in_.transpose((2, 0, 1)).shape)
net.blobs['data'].data[...] = in_.transpose((2, 0, 1))
net.forward()
out = net.blobs['score'].data[0].argmax(axis=0)
np.save(os.path.splitext(sys.argv[1])[0] + '.npy', out)
print 'classes', map(int, np.unique(out)), 'of size %d/%d' % out.shape
'''
