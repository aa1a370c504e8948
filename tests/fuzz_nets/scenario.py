"""Run one case and write down all that a script would see; the same file runs under genuine Caffe (Python 3.9).

In:   a Caffe; a case as Case.message() returns it.
Out:  what was seen, in order: (label, float32 array); the exception that ended it, if one did.
Not here: which steps (generate_steps), comparison (compare).
Every number comes from NumPy's uniform generator, which is the same in all its versions; fillers are asked only where
the case says so, to hold Caffe's own generator equal.
"""

import os
import zlib

import numpy as np

WIDTH = 1.5  # inputs lie within +- this


def run(caffe, case, folder, noise=0, toggle=None):
    """Run a case.

    Args:
        caffe: the module, ours or genuine.
        case: dict; see spec.Case.message.
        folder: where files may be written.
        noise: 0, or the seed of changes of the size of a rounding error to all that is written into the net.
        toggle: called with a flag by the step "toggle".

    Returns:
        [(label, array)], and the text of what a step raised, or None.
    """
    script = Script(caffe, case, folder, noise, toggle)
    try:
        with np.errstate(all="ignore"):  # edits may overflow
            script.build()
            for i, step in enumerate(case["steps"]):
                script.at = f"{i} {' '.join(str(word) for word in step[:2])}"
                getattr(script, "do_" + step[0])(*step[1:])
    except Exception as problem:  # whatever a step raises is part of what is compared
        return script.seen, f"step {script.at}: {type(problem).__name__}: {problem}"
    return script.seen, None


def uniform(shape, *key):
    """Return float32 numbers in [-1, 1) that depend on the key alone."""
    draw = np.random.RandomState(zlib.crc32(repr(key).encode()))
    return (draw.random_sample(tuple(shape)) * 2 - 1).astype(np.float32)


class Script:
    """A net under way, and the views that are held of it."""

    NOISE = 1e-6
    SHARE = ("Split", "Reshape", "Flatten")  # their tops are their bottoms' memory

    def __init__(self, caffe, case, folder, noise, toggle):
        self.caffe, self.case, self.folder, self.noise, self.toggle = caffe, case, folder, noise, toggle
        self.at, self.seen, self.held, self.held_weights, self.others = "build", [], {}, {}, []
        self.written, self.saved = 0, None

    def build(self):
        self.net = self.new_net(0)
        self.largest = {name: [tuple(self.net.blobs[name].shape)] for name in self.net.inputs}
        for name in self.net.inputs:
            self.do_write(name, 0)

    def new_net(self, seed):
        net = self.caffe.Net(self.file("net.prototxt", self.case["text"]), self.case["phase"])
        self.fill_all(net, seed)
        return net

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def fill_all(self, net, seed):
        """Write weights, if they are not left to fillers; from here on the net computes with this run's noise."""
        for layer in net.params:
            self.fill(net, layer, seed)
        if self.noise:
            names = list(net._layer_names)
            net.after_forward(lambda i: self.shake(net, names[i], net.top_names, "data"))
            net.after_backward(lambda i: self.shake(net, names[i], net.bottom_names, "diff"))

    def shake(self, net, layer, ends, field):
        """Change what a layer has computed as rounding might."""
        if self.case["types"].get(layer, "Split") not in self.SHARE:
            for name in ends[layer]:
                values = getattr(net.blobs[name], field)
                values[...] = self.shaken(values)

    # -- values --------------------------------------------------------------------------------

    def shaken(self, array):
        """Return values with the noise of this run, if any."""
        if not self.noise:
            return array
        self.written += 1
        return array * (1 + self.NOISE * uniform(array.shape, "noise", self.noise, self.written))

    def input_values(self, name, shape, seed):
        values = uniform(shape, "input", name, seed, self.case["seed"])
        classes = self.case["labels"].get(name)
        if classes:
            return np.floor((values + 1) / 2 * classes).clip(0, classes - 1)
        return self.shaken(values * np.float32(WIDTH))

    def fill(self, net, layer, seed):
        """Write weights such as training leaves: values stay of about the size of the inputs."""
        kind = self.case["types"][layer]
        for i, blob in enumerate(net.params[layer]):
            shape = tuple(blob.shape)
            values = uniform(shape, "weight", layer, i, seed, self.case["seed"])
            if self.case["fillers"] or layer in self.case["bilinear"] and i == 0:
                blob.data[...] = self.shaken(np.array(blob.data))
            else:
                blob.data[...] = self.shaken(self.weights(kind, i, values, layer, seed))

    def weights(self, kind, i, values, layer, seed):
        if kind in ("Convolution", "Deconvolution", "InnerProduct") and i == 0:
            return values * np.float32((4.0 / max(1, int(np.prod(values.shape[1:])))) ** 0.5)
        if kind == "BatchNorm":
            factor = np.float32(0 if layer in self.case["empty"] else (1, 1, 999.5)[(len(layer) + seed) % 3])
            scale = factor or np.float32(1)
            return [values * scale / 2, (values * np.float32(0.6) + np.float32(0.9)) * scale, values * 0 + factor][i]
        if kind == "Scale" and i == 0:
            return np.where(np.abs(values) < 0.3, np.float32(1), values * np.float32(1.5))
        if kind == "PReLU":
            return np.abs(values) / 2
        return values if kind == "Embed" else values * np.float32(0.3)

    def see(self, label, array):
        self.seen.append((f"{self.at}: {label}", np.array(array, np.float32)))

    # -- steps ---------------------------------------------------------------------------------

    def do_write(self, name, seed):
        blob = self.net.blobs[name]
        blob.data[...] = self.input_values(name, blob.shape, seed)

    def do_write_held(self, name, seed):
        if name in self.held:
            self.held[name][...] = self.input_values(name, self.held[name].shape, seed)

    def do_forward(self, seed=None, start=None, end=None, blobs=(), keep=False):
        given = {}
        if seed is not None:
            given = {name: self.input_values(name, self.net.blobs[name].shape, seed) for name in self.net.inputs}
        found = self.net.forward(blobs=list(blobs), start=start, end=end, **given)
        for name in sorted(found):
            self.see(name, found[name])
        if keep:
            self.held.update(found)

    def do_look(self, name):
        self.see(name, self.net.blobs[name].data)

    def do_look_all(self):
        for name in self.net.blobs:
            self.see(name, self.net.blobs[name].data)

    def do_hold(self, name):
        self.held[name] = self.net.blobs[name].data

    def do_reread(self, name):
        if name in self.held:
            self.see("held " + name, self.held[name])

    def do_release(self):
        self.held.clear()

    def do_edit(self, name, factor, shift):
        data = self.net.blobs[name].data
        data[...] = data * np.float32(factor) + np.float32(shift)

    def do_poison(self, name, value):
        flat = self.net.blobs[name].data.reshape(-1)
        flat[len(flat) // 2] = np.float32(value)

    def do_edit_held(self, name, factor):
        if name in self.held:
            self.held[name][...] *= np.float32(factor)

    def do_reshape(self, shapes):
        """Reshape inputs, and write them anew. Caffe frees what it outgrows, so views of that are let go first."""
        if not all(any(all(a <= b for a, b in zip(shape, seen)) for seen in self.largest[name])
                   for name, shape in shapes.items()):
            self.held.clear()
        for name, shape in shapes.items():
            self.largest[name].append(tuple(shape))
            self.net.blobs[name].reshape(*shape)
        for name in shapes:
            self.do_write(name, 0)

    def do_net_reshape(self):
        self.net.reshape()

    def do_weights(self, layer, seed):
        self.fill(self.net, layer, seed)

    def do_weight(self, layer, i, factor):
        self.net.params[layer][i].data[...] *= np.float32(factor)

    def do_hold_weight(self, layer, i):
        self.held_weights[layer, i] = self.net.params[layer][i].data

    def do_weight_held(self, layer, i, factor):
        if (layer, i) in self.held_weights:
            self.held_weights[layer, i][...] *= np.float32(factor)

    def do_look_weight(self, layer, i):
        self.see(f"weight {layer} {i}", self.net.params[layer][i].data)

    def do_share(self, seed):
        """Take another net's weights, for good; Caffe frees its own, so views of them are let go first."""
        self.held_weights.clear()
        self.others.append(self.new_net(seed))
        self.net.share_with(self.others[-1])

    def do_weight_of_other(self, layer, i, factor):
        if self.others:
            self.others[-1].params[layer][i].data[...] *= np.float32(factor)

    def do_save(self):
        self.saved = os.path.join(self.folder, "saved.caffemodel")
        self.net.save(self.saved)

    def do_copy_from(self):
        if self.saved:
            self.net.copy_from(self.saved)

    def do_hook(self, layer, name):
        number = list(self.net._layer_names).index(layer)

        def look(i):
            if i == number:
                self.see(f"{name} before {layer}", self.net.blobs[name].data)
        self.net.before_forward(look)

    def do_toggle(self, flag):
        if self.toggle:
            self.toggle(flag)

    def do_run(self):
        """Run all; see the loss alone."""
        self.see("loss", self.net._forward(0, len(self.net.layers) - 1))

    def do_bytes(self):
        """See the bytes of the weights as they are saved."""
        path = os.path.join(self.folder, "bytes.caffemodel")
        self.net.save(path)
        with open(path, "rb") as file:
            self.see("bytes", np.frombuffer(file.read(), np.uint8))

    def do_backward(self, seed, blobs, clear=True):
        for name in self.net.outputs if seed is not None else ():
            diff = self.net.blobs[name].diff
            diff[...] = self.shaken(uniform(diff.shape, "diff", name, seed, self.case["seed"]))
        if clear:
            self.net.clear_param_diffs()
        self.net.backward()
        for name in [*self.net.inputs, *blobs]:
            self.see("diff of " + name, self.net.blobs[name].diff)
        self.see_params(self.net, data=False)

    def see_params(self, net, data=True):
        for layer, params in net.params.items():
            for i, blob in enumerate(params):
                if data:
                    self.see(f"weight {layer} {i}", blob.data)
                self.see(f"diff of weight {layer} {i}", blob.diff)

    def do_train(self, settings, seed):
        """Train two iterations and test, snapshot, and go on from the snapshot with a new solver."""
        prefix = os.path.join(self.folder, "s")
        path = self.file("solver.prototxt", f'net: "{self.folder}/net.prototxt" snapshot_prefix: "{prefix}" {settings}')
        for start in (None, prefix + "_iter_2.solverstate"):
            solver = self.caffe.get_solver(path)
            for net in (solver.net, solver.test_nets[0]):
                self.fill_all(net, seed)
                for name in net.inputs:
                    net.blobs[name].data[...] = self.input_values(name, net.blobs[name].shape, seed)
            if start:
                solver.restore(start)
            solver.step(2)
            if not start:
                solver.snapshot()
            self.see_params(solver.net)
            for net in (solver.net, solver.test_nets[0]):
                for name in net.blobs:
                    self.see(name, net.blobs[name].data)
