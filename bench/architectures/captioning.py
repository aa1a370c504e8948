"""A captioning net of the LRCN kind: words and an image's scores to words, by two LSTMs.

In:   a Draft.   Out: the net in it.
Not here: the image net, whose 1000 scores are an input.
Source: Donahue et al. 2014 (arXiv 1411.4389), section 5, the factored net of two layers: 1000 units, 8801 words.
"""

from __future__ import annotations

from bench.architectures.draft import Draft
from caffe import layers as L

STEPS, UNITS, WORDS = 20, 1000, 8801


def continued(rng, shape):
    """Return markers: 0 where a sentence begins, at the first step and here and there later."""
    marks = rng.random(shape) > 0.1
    marks[0] = False
    return marks


def lrcn(draft: Draft) -> None:
    """Write the net; a batch is sentences, time comes first."""
    count = draft.batch
    words = draft.label(WORDS, STEPS, count, name="input_sentence")
    cont = draft.input("cont_sentence", STEPS, count, draw=continued)
    image = draft.input("image_features", count, 1000)
    uniform = {"weight_filler": {"type": "uniform", "min": -0.08, "max": 0.08}} if draft.fillers else {}
    embedded = draft.add("embedding", L.Embed(words, input_dim=WORDS, num_output=UNITS, bias_term=False, **uniform))
    how = {"num_output": UNITS, **uniform}
    below = draft.add("lstm1", L.LSTM(embedded, cont, recurrent_param=how))
    top = draft.add("lstm2", L.LSTM(below, cont, image, recurrent_param=how))
    score = draft.add("predict", L.InnerProduct(top, num_output=WORDS, axis=2, **uniform))
    if not draft.train:
        draft.add("probs", L.Softmax(score, axis=2))
        return
    target = draft.label(WORDS, STEPS, count, name="target_sentence")
    draft.add("loss", L.SoftmaxWithLoss(
        score, target, loss_weight=STEPS, loss_param={"ignore_label": -1}, softmax_param={"axis": 2}))
