"""Test accuracy and loss of preset `linear` by numpy: evaluate.py CHECKPOINTS DATASET ACCURACY LOSS"""
import pathlib
import sys

import h5py
import numpy as np

folder, dataset, accuracy, loss = sys.argv[1:]
newest = max(pathlib.Path(folder).glob("step-*.h5"))
with h5py.File(newest) as f:
    weight = f["parameters/output.weight"][()].astype(np.float64)
    bias = f["parameters/output.bias"][()].astype(np.float64)
with h5py.File(dataset) as f:
    train = f["train/image"][()].astype(np.float64)
    images, labels = f["test/image"][()].astype(np.float64), f["test/label"][()]
x = ((images - train.mean()) / train.std()).reshape(len(images), -1)
logits = x @ weight.T + bias
logits -= logits.max(axis=1, keepdims=True)
expected = -(logits[np.arange(len(labels)), labels] - np.log(np.exp(logits).sum(axis=1))).mean()
right = (logits.argmax(axis=1) == labels).mean()
print(f"numpy: accuracy {right:.4f}, loss {expected:.4f}; the program: accuracy {accuracy}, loss {loss}")
if not (abs(right - float(accuracy)) <= 5.1e-5 and abs(expected - float(loss)) <= 1e-4 * (1 + expected)):
    sys.exit("FAILED: they differ")
