"""The 61 layer types of BVLC Caffe, and which tests judge those that the recorded cases cannot.

In:   the recorded cases (tests/reference/record_layers.py).
Out:  TYPES; case_type; ELSEWHERE, tests by name; NO_GRADIENT.
Not here: the tests.
"""

from __future__ import annotations

import re

from tests.caffe.layer_case import Case

TYPES = """
AbsVal Accuracy ArgMax BNLL BatchNorm BatchReindex Bias Clip Concat ContrastiveLoss Convolution Crop Data Deconvolution
Dropout DummyData ELU Eltwise Embed EuclideanLoss Exp Filter Flatten HDF5Data HDF5Output HingeLoss Im2col ImageData
InfogainLoss InnerProduct Input LRN LSTM LSTMUnit Log MVN MemoryData MultinomialLogisticLoss PReLU Parameter Pooling
Power Python RNN ReLU Reduction Reshape SPP Scale Sigmoid SigmoidCrossEntropyLoss Silence Slice Softmax
SoftmaxWithLoss Split Swish TanH Threshold Tile WindowData
""".split()

# Types without recorded cases: they read or write files or a script's objects, or genuine Caffe 1.0 lacks them (Clip).
ELSEWHERE = {
    "Clip": ["test_layer_formulas.py::test_clip"],
    "Data": ["test_data_layer.py::test_draws_and_values_are_genuine_caffes",
             "test_data_layer.py::test_encoded_images_are_decoded_as_by_genuine_caffe",
             "test_data_layer.py::test_batches_run_on_over_the_end"],
    "HDF5Data": ["test_hdf5.py::test_oracle_hdf5_data", "test_hdf5.py::test_hdf5_data_shuffled_gives_every_row_once",
                 "test_hdf5.py::test_hdf5_data_is_dealt_among_solvers"],
    "HDF5Output": ["test_hdf5.py::test_hdf5_output"],
    "ImageData": ["test_image_data.py::test_pixels_labels_order_and_draws_are_genuine_caffes",
                  "test_random_draws.py::test_each_rank_reads_what_genuine_caffes_reads"],
    "MemoryData": ["test_hdf5.py::test_oracle_memory_data",
                   "test_random_draws.py::test_memory_data_takes_its_seed_and_leaves_the_arrays_as_they_are"],
    "Python": ["test_layer_python.py::test_in_a_net", "test_bvlc_behaviours_solver.py::test_python_layer_forward",
               "test_bvlc_behaviours_solver.py::test_python_layer_backward"],
    "WindowData": ["test_window_data.py::test_windows_pixels_and_draws_are_genuine_caffes"],
}
# Settings of other types that genuine Caffe lacks on the CPU or, in this build, has wrong.
JUDGED_BY_FORMULAS = {
    "BatchNorm": ["test_layer_formulas.py::test_batch_norm_train"],
    "Pooling": ["test_layer_formulas.py::test_stochastic_pooling_test",
                "test_layer_formulas.py::test_stochastic_pooling_train_picks_in_proportion",
                "test_layer_formulas.py::test_stochastic_pooling_train_stays_inside"],
}
# No gradient goes through these: they make data, count, compare, or are the user's own.
NO_GRADIENT = {"Accuracy", "ArgMax", "Data", "DummyData", "HDF5Data", "HDF5Output", "ImageData", "Input", "MemoryData",
               "Python", "Threshold", "WindowData"}


def case_type(case: Case) -> str:
    """Return a case's layer type."""
    found = re.search(r'\btype: "(\w+)"', case.layer_text)
    assert found, f"case {case.name} names no layer type"
    return found[1]
